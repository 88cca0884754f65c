/* os_cfi.c - see os_cfi.h. The names are DWARF's (version 5, section 6.4), and those of the Linux
 * Standard Base. Order of the text: reading, the machine that runs the instructions, an FDE. */
#include "os/os_cfi.h"

#if defined(__x86_64__)
#include <string.h>

/* DW_CFA_ of DWARF: numbers of instructions, those of them that are known here. */
enum instruction {
    CFA_NOP = 0x00,
    CFA_ADVANCE_1 = 0x02,
    CFA_ADVANCE_2 = 0x03,
    CFA_ADVANCE_4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_GNU_ARGS_SIZE = 0x2e,
};

static os_find_description find_description;

void os_cfi_load(os_find_description description)
{
    find_description = description;
}

/* --- reading ---------------------------------------------------------------- */

/* A position in the information of a module. Nothing is checked: the unwinder trusts it, too. */
struct reader {
    const unsigned char *at;
};

static uint64_t read_fixed(struct reader *r, unsigned bytes)
{
    uint64_t n = 0;

    memcpy(&n, r->at, bytes);
    r->at += bytes;
    return n;
}

static uint64_t read_uleb(struct reader *r)
{
    uint64_t n = 0;
    unsigned shift = 0, byte;

    do {
        byte = *r->at++;
        n |= shift < 64 ? (uint64_t)(byte & 127) << shift : 0;
        shift += 7;
    } while ((byte & 128) != 0);
    return n;
}

static int64_t read_sleb(struct reader *r)
{
    uint64_t n = 0;
    unsigned shift = 0, byte;

    do {
        byte = *r->at++;
        n |= shift < 64 ? (uint64_t)(byte & 127) << shift : 0;
        shift += 7;
    } while ((byte & 128) != 0);
    if ((byte & 64) != 0 && shift < 64)
        n |= ~UINT64_C(0) << shift;
    return (int64_t)n;
}

/* --- the rules of one place --------------------------------------------------- */

#define MOST_REMEMBERED 8u

/* What runs call frame instructions. */
struct machine {
    struct row row, initial, remembered[MOST_REMEMBERED];
    unsigned nr_remembered;
    uint64_t code_align; /* unit of advances */
    int64_t data_align;  /* unit of offsets */
    uintptr_t at;        /* the row is that of this address on */
    uintptr_t wanted;    /* it is to be the row of this one */
    bool failed;         /* something is not known here */
};

static void set_saved(struct machine *m, uint64_t reg, enum where where, int64_t offset)
{
    if (reg == CFI_RBP)
        m->row.rbp = (struct saved){where, offset};
    else if (reg == CFI_RETURN)
        m->row.address = (struct saved){where, offset};
    else if (reg == CFI_RSP)
        m->failed = true; /* the caller's is not the CFA: it is on another stack */
}

static void restore(struct machine *m, uint64_t reg)
{
    if (reg == CFI_RBP)
        m->row.rbp = m->initial.rbp;
    else if (reg == CFI_RETURN)
        m->row.address = m->initial.address;
}

static void remember(struct machine *m)
{
    if (m->nr_remembered < MOST_REMEMBERED)
        m->remembered[m->nr_remembered++] = m->row;
    else
        m->failed = true;
}

static void recall(struct machine *m)
{
    if (m->nr_remembered > 0)
        m->row = m->remembered[--m->nr_remembered];
    else
        m->failed = true;
}

static void skip_block(struct reader *r)
{
    uint64_t bytes = read_uleb(r);

    r->at += bytes;
}

/* An instruction that says where the CFA is, but by an expression. */
static void define_cfa(struct machine *m, unsigned op, struct reader *r)
{
    if (op == CFA_DEF_CFA || op == CFA_DEF_CFA_REGISTER || op == CFA_DEF_CFA_SF)
        m->row.cfa_register = read_uleb(r);
    if (op == CFA_DEF_CFA || op == CFA_DEF_CFA_OFFSET)
        m->row.cfa_offset = (int64_t)read_uleb(r);
    else if (op == CFA_DEF_CFA_SF || op == CFA_DEF_CFA_OFFSET_SF)
        m->row.cfa_offset = read_sleb(r) * m->data_align;
    if (op == CFA_DEF_CFA || op == CFA_DEF_CFA_SF)
        m->row.cfa_is_complex = false;
}

/* What says how one register is saved. False: it is another instruction. */
static bool run_register_rule(struct machine *m, unsigned op, struct reader *r)
{
    uint64_t reg;

    if ((op < CFA_OFFSET_EXTENDED || op > CFA_REGISTER) && op != CFA_EXPRESSION &&
        op != CFA_OFFSET_EXTENDED_SF && op != CFA_VAL_EXPRESSION)
        return false;
    reg = read_uleb(r);
    if (op == CFA_OFFSET_EXTENDED)
        set_saved(m, reg, WHERE_SAVED, (int64_t)read_uleb(r) * m->data_align);
    else if (op == CFA_OFFSET_EXTENDED_SF)
        set_saved(m, reg, WHERE_SAVED, read_sleb(r) * m->data_align);
    else if (op == CFA_RESTORE_EXTENDED)
        restore(m, reg);
    else if (op == CFA_UNDEFINED || op == CFA_SAME_VALUE)
        set_saved(m, reg, op == CFA_UNDEFINED ? WHERE_UNDEFINED : WHERE_SAME, 0);
    else
        set_saved(m, reg, WHERE_COMPLEX, 0);
    if (op == CFA_REGISTER)
        (void)read_uleb(r);
    else if (op == CFA_EXPRESSION || op == CFA_VAL_EXPRESSION)
        skip_block(r);
    return true;
}

/* An instruction whose number is in all of its byte. */
static void run_extended(struct machine *m, unsigned op, struct reader *r)
{
    if (run_register_rule(m, op, r))
        return;
    switch (op) {
    case CFA_NOP:
        break;
    case CFA_ADVANCE_1:
    case CFA_ADVANCE_2:
    case CFA_ADVANCE_4:
        m->at += read_fixed(r, 1u << (op - CFA_ADVANCE_1)) * m->code_align;
        break;
    case CFA_REMEMBER:
        remember(m);
        break;
    case CFA_RESTORE_STATE:
        recall(m);
        break;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_REGISTER:
    case CFA_DEF_CFA_OFFSET:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_OFFSET_SF:
        define_cfa(m, op, r);
        break;
    case CFA_DEF_CFA_EXPRESSION:
        skip_block(r);
        m->row.cfa_is_complex = true;
        break;
    case CFA_GNU_ARGS_SIZE:
        (void)read_uleb(r);
        break;
    default:
        m->failed = true;
    }
}

static void run(struct machine *m, struct reader r, const unsigned char *end)
{
    while (r.at < end && !m->failed && m->at <= m->wanted) {
        unsigned byte = *r.at++, low = byte & 63;
        struct row row = m->row;

        if (byte >> 6 == 1)
            m->at += low * m->code_align;
        else if (byte >> 6 == 2)
            set_saved(m, low, WHERE_SAVED, (int64_t)read_uleb(&r) * m->data_align);
        else if (byte >> 6 == 3)
            restore(m, low);
        else
            run_extended(m, low, &r);
        if (m->at > m->wanted)
            m->row = row;
    }
}

/* What a CIE says of its FDEs. */
struct common {
    struct reader instructions;
    const unsigned char *end;
    bool has_augmentation; /* each has data for it */
    unsigned address_bytes;
};

/* The bytes of an address in this encoding; 0: not known here. */
static unsigned bytes_of_encoding(unsigned encoding)
{
    unsigned kind = encoding & 15;

    if ((encoding & 0x70) == 0x50) /* aligned, with bytes before it */
        return 0;

    if (kind == 0 || kind == 4 || kind == 12)
        return 8;
    return kind == 3 || kind == 11 ? 4 : 0;
}

/* What the letters of an augmentation mean. False: one is not known, or it is a signal's frame. */
static bool read_augmentation(const char *letters, struct reader r, struct common *out)
{
    for (; *letters != '\0'; letters++) {
        unsigned bytes;

        switch (*letters) {
        case 'R':
            out->address_bytes = bytes_of_encoding((unsigned)read_fixed(&r, 1));
            break;
        case 'P': /* an encoding, and an address in it */
            bytes = bytes_of_encoding((unsigned)read_fixed(&r, 1));
            if (bytes == 0)
                return false;
            r.at += bytes;
            break;
        case 'L':
            r.at++;
            break;
        default:
            return false;
        }
    }
    return out->address_bytes != 0;
}

static bool read_cie(const unsigned char *cie, struct machine *m, struct common *out)
{
    struct reader r = {cie};
    uint64_t bytes = read_fixed(&r, 4);
    const char *letters;
    unsigned version;

    out->end = r.at + bytes;
    if (bytes == UINT32_MAX || read_fixed(&r, 4) != 0)
        return false;
    version = (unsigned)read_fixed(&r, 1);
    letters = (const char *)r.at;
    r.at += strlen(letters) + 1;
    m->code_align = read_uleb(&r);
    m->data_align = read_sleb(&r);
    if ((version == 1 ? read_fixed(&r, 1) : read_uleb(&r)) != CFI_RETURN)
        return false;
    out->address_bytes = 8;
    out->has_augmentation = letters[0] == 'z';
    if (out->has_augmentation) {
        bytes = read_uleb(&r);
        if (!read_augmentation(letters + 1, r, out))
            return false;
        r.at += bytes;
    } else if (letters[0] != '\0') {
        return false;
    }
    out->instructions = r;
    return true;
}

bool os_cfi_row(uintptr_t address, struct row *row, const unsigned char **found)
{
    struct {
        void *text, *data, *function;
    } bases;
    const unsigned char *fde = find_description((void *)address, &bases);
    struct machine m = {.wanted = address};
    struct common common;
    struct reader r = {fde};
    const unsigned char *end;
    uint64_t bytes;
    int32_t delta;

    *found = fde;
    if (fde == NULL)
        return false;
    bytes = read_fixed(&r, 4);
    end = r.at + bytes;
    memcpy(&delta, r.at, sizeof delta);
    if (bytes == UINT32_MAX || !read_cie(r.at - delta, &m, &common))
        return false;
    r.at += 4 + 2 * (size_t)common.address_bytes;
    if (common.has_augmentation)
        skip_block(&r);
    run(&m, common.instructions, common.end);
    m.at = (uintptr_t)bases.function;
    m.initial = m.row;
    run(&m, r, end);
    *row = m.row;
    return !m.failed && !row->cfa_is_complex;
}

#endif
