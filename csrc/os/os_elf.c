/* os_elf.c - see os_elf.h. */
#include "os/os_elf.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define SYMBOLS_AT_ONCE 16u /* a signal handler has little stack */

struct elf {
    int fd;
    ElfW(Ehdr) head;
};

static bool read_whole(const struct elf *elf, void *to, size_t bytes, uint64_t offset)
{
    return pread(elf->fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* The caller closes it. */
static bool elf_open(struct elf *elf, const char *path)
{
    const ElfW(Ehdr) *head = &elf->head;

    elf->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (elf->fd < 0)
        return false;
    if (read_whole(elf, &elf->head, sizeof elf->head, 0) &&
        memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
        head->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
        head->e_phentsize == sizeof(ElfW(Phdr)) && head->e_shentsize == sizeof(ElfW(Shdr)))
        return true;
    close(elf->fd);
    return false;
}

static bool section_read(const struct elf *elf, unsigned index, ElfW(Shdr) * section)
{
    return index < elf->head.e_shnum &&
           read_whole(elf, section, sizeof *section, elf->head.e_shoff + index * sizeof *section);
}

/* The table of all symbols; of the exported ones in a file that was stripped. */
static bool table_find(const struct elf *elf, ElfW(Shdr) * table)
{
    static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};

    for (unsigned t = 0; t < sizeof types / sizeof types[0]; t++)
        for (unsigned i = 0; section_read(elf, i, table); i++)
            if (table->sh_type == types[t])
                return true;
    return false;
}

static bool symbol_has(const ElfW(Sym) * symbol, uintptr_t address)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
           address >= symbol->st_value && address - symbol->st_value < symbol->st_size;
}

/* The function that the address is in. */
static bool symbol_find(const struct elf *elf, const ElfW(Shdr) * table, uintptr_t address,
                        ElfW(Sym) * found)
{
    ElfW(Sym) symbols[SYMBOLS_AT_ONCE];
    size_t nr = table->sh_size / sizeof *found, some;

    for (size_t at = 0; at < nr; at += some) {
        some = nr - at < SYMBOLS_AT_ONCE ? nr - at : SYMBOLS_AT_ONCE;
        if (!read_whole(elf, symbols, some * sizeof *found, table->sh_offset + at * sizeof *found))
            return false;
        for (size_t i = 0; i < some; i++)
            if (symbol_has(&symbols[i], address)) {
                *found = symbols[i];
                return true;
            }
    }
    return false;
}

void os_elf_name(const char *path, struct os_symbol *out)
{
    ElfW(Shdr) table, names;
    ElfW(Sym) symbol;
    struct elf elf;
    ssize_t got = 0;

    if (!elf_open(&elf, path))
        return;
    if (table_find(&elf, &table) && section_read(&elf, table.sh_link, &names) &&
        symbol_find(&elf, &table, out->module_at, &symbol))
        got = pread(elf.fd, out->text, sizeof out->text - 1,
                    (off_t)(names.sh_offset + symbol.st_name));
    close(elf.fd);
    if (got <= 0)
        return;
    out->text[got] = '\0';
    out->name = out->text;
    out->name_offset = out->module_at - symbol.st_value;
}

bool os_elf_address(const char *path, uint64_t offset, uintptr_t *address)
{
    ElfW(Phdr) segment;
    struct elf elf;
    bool found = false;

    if (!elf_open(&elf, path))
        return false;
    for (unsigned i = 0; i < elf.head.e_phnum && !found; i++) {
        if (!read_whole(&elf, &segment, sizeof segment, elf.head.e_phoff + i * sizeof segment))
            break;
        found = segment.p_type == PT_LOAD && offset >= segment.p_offset &&
                offset - segment.p_offset < segment.p_filesz;
        if (found)
            *address = (uintptr_t)(segment.p_vaddr + (offset - segment.p_offset));
    }
    close(elf.fd);
    return found;
}
