/* unwind_plugin.c - what test_unwind.c loads, unloads, and loads again in another build: the code
 * is in the same place, but one build has a frame pointer, and the other one its second argument
 * there. Each says so in its call frame information. */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl unwind_plugin\n"
        ".type unwind_plugin, @function\n"
        "unwind_plugin:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset %rbp, -16\n"
#ifdef PLUGIN_HAS_FRAME_POINTER
        "    movq %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    subq $32, %rsp\n"
#else
        "    movq %rsi, %rbp\n"
        "    subq $32, %rsp\n"
        "    .cfi_def_cfa_offset 48\n"
#endif
        "    call *%rdi\n"
        "    addq $32, %rsp\n"
        "    .cfi_def_cfa %rsp, 16\n"
        "    popq %rbp\n"
        "    .cfi_def_cfa_offset 8\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size unwind_plugin, . - unwind_plugin\n");
#endif
