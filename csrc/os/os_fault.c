/* os_fault.c - see os_fault.h. */
#include "os/os_fault.h"

#include "base/atomic.h"
#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)64 << 10) /* of the alternate stack */

static struct {
    _Atomic(os_fault_hook) hook; /* NULL: not watched */
    struct sigaction before;     /* what the signal did before; constant while it is watched */
    bool is_installed;           /* the handler is the process's, or somebody else chains to it */
} fault;

/* --- what the signal tells -------------------------------------------------- */

/* enum pyslab_access, as far as the processor tells. */
static uint16_t access_of(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0 ? PYSLAB_ACCESS_WRITE
                                                          : PYSLAB_ACCESS_READ;
#else
    (void)context;
    return PYSLAB_ACCESS_UNKNOWN;
#endif
}

#if defined(__x86_64__)

#define PAGE_FAULT 14   /* number of the exception */
#define SCAN_WORDS 128u /* that are read at once */
#define SCAN_CHUNKS 16u

/* Reads memory of this process that may not be there. False: it is not. */
static bool peek(uintptr_t address, void *out, size_t bytes)
{
    struct iovec local = {out, bytes}, remote = {(void *)address, bytes};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

/* The registers are those of a thread that was interrupted by a page fault at a watched address.
 * One that sends itself a signal is interrupted behind its system call (0f 05); the other two are
 * of its last page fault that was a signal then. */
static bool tell_watched_fault(const greg_t *registers)
{
    os_fault_hook hook = load_relaxed(&fault.hook);
    unsigned char before[2] = {0};

    return registers[REG_TRAPNO] == PAGE_FAULT && hook != NULL &&
           hook((uintptr_t)registers[REG_CR2], PYSLAB_ACCESS_NONE) &&
           peek((uintptr_t)registers[REG_RIP] - sizeof before, before, sizeof before) &&
           (before[0] != 0x0f || before[1] != 0x05);
}

/* The thread was interrupted inside a handler that a watched fault had led to. The system puts a
 * frame on the stack for each signal: the address that the handler returns to, which is the same
 * for all handlers of the C library, then the context. */
static bool interrupted_such_a_handler(const ucontext_t *context)
{
    uintptr_t returns_to = ((const uintptr_t *)(const void *)context)[-1], words[SCAN_WORDS];
    uintptr_t at = (uintptr_t)context->uc_mcontext.gregs[REG_RSP] & ~(uintptr_t)7;

    for (unsigned chunk = 0; chunk < SCAN_CHUNKS && peek(at, words, sizeof words); chunk++)
        for (unsigned i = 0; i < SCAN_WORDS; i++, at += sizeof words[0]) {
            mcontext_t outer;

            if (words[i] == returns_to &&
                peek(at + sizeof words[0] + offsetof(ucontext_t, uc_mcontext), &outer,
                     sizeof outer) &&
                tell_watched_fault(outer.gregs))
                return true;
        }
    return false;
}

/* Either the handler that sent the signal has not returned yet, or it had blocked the signal, which
 * comes now that the thread is back at the access. */
static bool was_sent_again(const ucontext_t *context)
{
    return tell_watched_fault(context->uc_mcontext.gregs) || interrupted_such_a_handler(context);
}

#else

static bool was_sent_again(const ucontext_t *context)
{
    (void)context;
    return false;
}

#endif

/* --- passing it on ------------------------------------------------------------ */

/* The system ends the process: when the access is made again, or by the signal that is sent here
 * and comes when the handler returns. */
static void end_process(const siginfo_t *info)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};

    sigaction(SIGSEGV, &by_default, NULL);
    if (info->si_code <= 0)
        raise(SIGSEGV);
}

/* Calls the handler from before, with the signals blocked that it asked for. */
static void call_before(int number, siginfo_t *info, void *context)
{
    sigset_t mask = fault.before.sa_mask, saved;

    if ((fault.before.sa_flags & SA_NODEFER) == 0)
        sigaddset(&mask, number);
    pthread_sigmask(SIG_BLOCK, &mask, &saved);
    if ((fault.before.sa_flags & SA_NODEFER) != 0) {
        sigemptyset(&mask);
        sigaddset(&mask, number);
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    }
    if ((fault.before.sa_flags & SA_SIGINFO) != 0)
        fault.before.sa_sigaction(number, info, context);
    else
        fault.before.sa_handler(number);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    os_fault_hook hook = load_relaxed(&fault.hook);
    int saved = errno;

    if (info->si_code > 0 && hook != NULL)
        (void)hook((uintptr_t)info->si_addr, access_of(context));
    else if (info->si_code <= 0 && was_sent_again(context)) {
        errno = saved;
        return;
    }
    errno = saved;
    if (fault.before.sa_handler == SIG_DFL ||
        (fault.before.sa_handler == SIG_IGN && info->si_code > 0))
        end_process(info);
    else if (fault.before.sa_handler != SIG_IGN)
        call_before(number, info, context);
}

/* --- watching ------------------------------------------------------------------ */

/* Gives this thread an alternate stack, if it has none. The stack stays for ever. */
static void stack_install(void)
{
    stack_t now, stack = {.ss_size = STACK_BYTES};

    if (sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0 ||
        os_reserve(STACK_BYTES, os_page_bytes(), &stack.ss_sp) != PYSLAB_OK)
        return;
    if (os_commit(stack.ss_sp, STACK_BYTES, true) != PYSLAB_OK || sigaltstack(&stack, NULL) != 0)
        os_release(stack.ss_sp, STACK_BYTES);
}

int os_fault_watch(os_fault_hook hook)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    atomic_store(&fault.hook, hook);
    if (fault.is_installed)
        return PYSLAB_OK;
    stack_install();
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, NULL, &fault.before) != 0 || sigaction(SIGSEGV, &action, NULL) != 0)
        return PYSLAB_EOS;
    fault.is_installed = true;
    return PYSLAB_OK;
}

void os_fault_unwatch(void)
{
    struct sigaction now;

    atomic_store(&fault.hook, NULL);
    if (sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
        now.sa_sigaction == on_signal && sigaction(SIGSEGV, &fault.before, NULL) == 0)
        fault.is_installed = false;
}
