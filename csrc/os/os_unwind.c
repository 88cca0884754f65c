/* os_unwind.c - see os_unwind.h. Order of the text: modules, the table of rules, the walk. */
#include "os/os_unwind.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#if defined(__x86_64__)
#include <elf.h>
#include <string.h>

static os_find_module find_module;
static bool is_loaded;

/* --- modules -------------------------------------------------------------------- */

#define MIX UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mixed(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * MIX;
    return sum ^ sum >> 32;
}

struct module {
    struct os_found_module found;
    uint64_t number; /* made of its range, the places of its segments, and the id of its build */
    bool has_id;     /* it has one: no other build has its number */
};

/* The numbers of a note's header, and its name. */
struct note {
    uint32_t name_bytes, id_bytes, type;
    char name[4];
};

/* The id among the notes at a place; 0: there is none. */
static uint64_t id_among(const unsigned char *at, size_t bytes)
{
    while (bytes >= sizeof(struct note)) {
        struct note note;
        size_t whole;

        memcpy(&note, at, sizeof note);
        if (note.type == NT_GNU_BUILD_ID && note.name_bytes == 4 && note.id_bytes >= 16 &&
            bytes >= sizeof note + 16) {
            uint64_t id[2];

            memcpy(id, at + sizeof note, sizeof id);
            return mixed(mixed(1, id[0]), id[1]) | 1;
        }
        whole = 12 + (size_t)(align_up(note.name_bytes, 4) + align_up(note.id_bytes, 4));
        if (whole >= bytes)
            break;
        at += whole;
        bytes -= whole;
    }
    return 0;
}

/* Whether the first segment, which is at the module's start, has all of this one. */
static bool is_within(const Elf64_Phdr *it, const Elf64_Phdr *first)
{
    return it->p_vaddr >= first->p_vaddr && it->p_memsz <= first->p_filesz &&
           it->p_vaddr - first->p_vaddr <= first->p_filesz - it->p_memsz;
}

/* False: the headers are not at its start, as they are with all usual linkers. */
static bool module_number(struct module *module)
{
    uintptr_t start = module->found.start;
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)start;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(start + sizeof *head), *first = NULL;
    uint64_t sum = mixed(mixed(start, module->found.end), module->found.descriptions), id = 0;

    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_phoff != sizeof *head ||
        sizeof *head + head->e_phnum * sizeof *segment > PAGE_SIZE)
        return false;
    for (unsigned i = 0; i < head->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD) {
            sum = mixed(sum, segment[i].p_vaddr ^ segment[i].p_memsz << 24);
            first = first == NULL ? &segment[i] : first;
        }
    if (first == NULL || first->p_offset != 0 || first->p_vaddr % PAGE_SIZE != 0)
        return false;
    for (unsigned i = 0; i < head->e_phnum && id == 0; i++)
        if (segment[i].p_type == PT_NOTE && is_within(&segment[i], first))
            id = id_among((const unsigned char *)start + (segment[i].p_vaddr - first->p_vaddr),
                          segment[i].p_memsz);
    module->number = mixed(mixed(sum, module->found.map), id);
    module->has_id = id != 0;
    return true;
}

/* The module that has the address, from that of the frame before. False: there is none. */
static bool module_of(uintptr_t address, struct module *module)
{
    return likely(address >= module->found.start && address < module->found.end) ||
           (find_module((void *)address, &module->found) == 0 && module_number(module));
}

/* --- the table ------------------------------------------------------------------ */

/* A row in a word. */
#define RULE_KNOWN (UINT64_C(1) << 63)
#define RULE_SIMPLE (UINT64_C(1) << 62)
#define RULE_ENDS (UINT64_C(1) << 61)     /* it is the outermost frame */
#define RULE_FROM_RBP (UINT64_C(1) << 60) /* the cfa is, else from rsp */
#define RULE_SAVES_RBP (UINT64_C(1) << 59)
#define RULE_OFFSET_BITS 24u /* of the cfa's offset, and then of the place of rbp below the cfa */

#define RULE_BYTES_AT 48u /* of the FDE, in fours; 0: it is too long */
#define RULE_MOST_BYTES (4u * ((1u << 11) - 1))
#define CIE_MOST_BYTES 128u

#define TABLE_ENTRIES 4096u

/* check is made of all others and the key. The rule holds as long as fde's bytes, and those of its
 * CIE, have this sum; fde is 0 where there is no way by the rule, or the module has an id. */
static struct entry {
    _Atomic uint64_t rule, fde, sum, check;
} table[TABLE_ENTRIES];

static uint64_t sum_of_bytes(uint64_t sum, const unsigned char *at, size_t bytes)
{
    uint64_t word;

    for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sum = mixed(sum, word);
    }
    word = 0;
    memcpy(&word, at, bytes);
    return mixed(sum, word);
}

/* The sum of an FDE of so many bytes, its length not among them, and of its CIE. 0: they are not
 * like that. */
static uint64_t sum_of_description(const unsigned char *fde, size_t bytes)
{
    uint32_t fde_bytes, cie_bytes;
    const unsigned char *cie;
    int32_t delta;

    memcpy(&fde_bytes, fde, sizeof fde_bytes);
    if (fde_bytes != bytes)
        return 0;
    memcpy(&delta, fde + 4, sizeof delta);
    cie = fde + 4 - delta;
    memcpy(&cie_bytes, cie, sizeof cie_bytes);
    return cie_bytes > CIE_MOST_BYTES
               ? 0
               : sum_of_bytes(sum_of_bytes(1, fde + 4, bytes), cie, cie_bytes + 4) | 1;
}

static uint64_t rule_of(const struct row *row)
{
    uint64_t rule = RULE_KNOWN, below = (uint64_t)-row->rbp.offset;

    if (row->address.where == WHERE_UNDEFINED)
        return rule | RULE_SIMPLE | RULE_ENDS;
    if (row->address.where != WHERE_SAVED || row->address.offset != -8 || row->cfa_offset < 0 ||
        row->cfa_offset >> RULE_OFFSET_BITS != 0 || row->rbp.where == WHERE_COMPLEX ||
        (row->cfa_register != CFI_RSP && row->cfa_register != CFI_RBP))
        return rule;
    rule |= RULE_SIMPLE | (uint64_t)row->cfa_offset;
    if (row->cfa_register == CFI_RBP)
        rule |= RULE_FROM_RBP;
    if (row->rbp.where == WHERE_SAVED) {
        if (below >> RULE_OFFSET_BITS != 0)
            return RULE_KNOWN;
        rule |= RULE_SAVES_RBP | below << RULE_OFFSET_BITS;
    }
    return rule;
}

static uint64_t check_of(uint64_t key, uint64_t rule, uint64_t fde, uint64_t sum)
{
    return key ^ rule * MIX ^ fde * (MIX << 1 | 1) ^ sum;
}

/* The rule of an entry, if it has one for this key that is still right, or 0. */
static uint64_t remembered_rule(const struct entry *entry, uint64_t key)
{
    uint64_t rule = load_relaxed(&entry->rule), fde = load_relaxed(&entry->fde);
    uint64_t sum = load_relaxed(&entry->sum);
    size_t bytes = 4 * (size_t)(rule >> RULE_BYTES_AT & (RULE_MOST_BYTES / 4));

    if (rule == 0 || unlikely(load_relaxed(&entry->check) != check_of(key, rule, fde, sum)))
        return 0;
    return likely(fde == 0) || sum_of_description((const unsigned char *)fde, bytes) == sum ? rule
                                                                                            : 0;
}

/* Reads it anew. */
static slow_path uint64_t rule_read(struct entry *entry, uintptr_t address,
                                    const struct module *module)
{
    const unsigned char *fde;
    struct row row;
    uint64_t rule = os_cfi_row(address, &row, &fde) ? rule_of(&row) : RULE_KNOWN, sum = 0;
    uint32_t bytes;

    if ((rule & RULE_SIMPLE) == 0 || module->has_id) {
        fde = NULL;
    } else {
        memcpy(&bytes, fde, sizeof bytes);
        if (bytes > RULE_MOST_BYTES || bytes % 4 != 0 || sum_of_description(fde, bytes) == 0)
            return rule;
        sum = sum_of_description(fde, bytes);
        rule |= (uint64_t)(bytes / 4) << RULE_BYTES_AT;
    }
    store_relaxed(&entry->check, check_of(address + module->number, rule, (uintptr_t)fde, sum));
    store_relaxed(&entry->sum, sum);
    store_relaxed(&entry->fde, (uintptr_t)fde);
    store_relaxed(&entry->rule, rule);
    return rule;
}

static uint64_t rule_at(uintptr_t address, const struct module *module)
{
    struct entry *entry = &table[(size_t)(address * MIX >> 32) % TABLE_ENTRIES];
    uint64_t rule = remembered_rule(entry, address + module->number);

    return likely(rule != 0) ? rule : rule_read(entry, address, module);
}

/* --- the walk --------------------------------------------------------------------- */

void os_unwind_load(os_find_description description, os_find_module module)
{
    os_cfi_load(description);
    is_loaded = description != NULL && module != NULL;
    find_module = module;
}

static uintptr_t word_at(uintptr_t address)
{
    uintptr_t word;

    memcpy(&word, (const void *)address, sizeof word);
    return word;
}

/* Return addresses and stack pointers are as the caller's instructions left them. */
struct frame {
    uintptr_t address, rsp, rbp;
};

/* To the caller's frame. False: by such a rule there is no way to it. */
static bool step(struct frame *frame, uint64_t rule)
{
    uint64_t mask = (UINT64_C(1) << RULE_OFFSET_BITS) - 1;
    uintptr_t cfa = ((rule & RULE_FROM_RBP) != 0 ? frame->rbp : frame->rsp) + (rule & mask);

    if ((rule & RULE_SIMPLE) == 0 || cfa <= frame->rsp || cfa % 8 != 0)
        return false;
    if ((rule & RULE_SAVES_RBP) != 0)
        frame->rbp = word_at(cfa - (rule >> RULE_OFFSET_BITS & mask));
    frame->address = word_at(cfa - 8);
    frame->rsp = cfa;
    return true;
}

slow_path bool os_unwind(uintptr_t *addresses, unsigned max, const struct os_module *end,
                         unsigned *nr)
{
    struct frame frame;
    struct module module = {.found.end = 0};
    uint64_t rule;
    unsigned skip = 1;

    *nr = 0;
    if (!is_loaded)
        return false;
    __asm__ volatile("movq %%rsp, %0\n\tmovq %%rbp, %1\n\tleaq 0(%%rip), %2"
                     : "=&r"(frame.rsp), "=&r"(frame.rbp), "=&r"(frame.address));
    if (!module_of(frame.address, &module))
        return false;
    rule = rule_at(frame.address, &module);
    while ((rule & RULE_ENDS) == 0 && *nr < max) {
        if (!step(&frame, rule))
            return false;
        if (frame.address == 0 || (end != NULL && os_module_has(end, frame.address)))
            return true;
        if (skip > 0)
            skip--;
        else
            addresses[(*nr)++] = frame.address;
        /* Of the call, which may be the last instruction that there is. */
        if (!module_of(frame.address - 1, &module))
            return false;
        rule = rule_at(frame.address - 1, &module);
    }
    return true;
}

#else

void os_unwind_load(os_find_description description, os_find_module module)
{
    (void)description;
    (void)module;
}

bool os_unwind(uintptr_t *addresses, unsigned max, const struct os_module *end, unsigned *nr)
{
    (void)addresses;
    (void)max;
    (void)end;
    *nr = 0;
    return false;
}
#endif
