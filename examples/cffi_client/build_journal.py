"""The cffi module journal._journal: its C source, and pyslab's types and functions."""

import cffi

import pyslab
from pyslab.cffi_builder import ffibuilder as pyslab_builder

ffibuilder = cffi.FFI()
ffibuilder.include(pyslab_builder)  # pyslab_region * and the like are pyslab's own types
ffibuilder.cdef(
    """
    struct entry { struct entry *next; size_t size; char bytes[]; };
    struct journal { pyslab_region *region; struct entry *first, *last; size_t nr; ...; };

    int pyslab_set_api(const void *table);
    int journal_append(struct journal *journal, const char *data, size_t size);
    uint64_t journal_checksum(const struct journal *journal);
    """
)
ffibuilder.set_source(
    "journal._journal",
    r"""
    #define PYSLAB_NO_PYTHON  /* cffi calls without the GIL: the table comes by its address */
    #include <pyslab.h>
    #include <string.h>

    struct entry {
        struct entry *next;
        size_t size;
        char bytes[];
    };

    struct journal {
        pyslab_region *region;
        struct entry *first, *last;
        size_t nr;
    };

    /* A copy of the data at the end; PYSLAB_ENOMEM: nothing has changed. */
    static int journal_append(struct journal *journal, const char *data, size_t size)
    {
        struct entry *entry = NULL;

        if (size <= SIZE_MAX - sizeof *entry)
            entry = (struct entry *)pyslab_region_alloc(journal->region, sizeof *entry + size);
        if (entry == NULL)
            return PYSLAB_ENOMEM;
        memcpy(entry->bytes, data, size);
        entry->size = size;
        entry->next = NULL;
        if (journal->last != NULL)
            journal->last->next = entry;
        else
            journal->first = entry;
        journal->last = entry;
        journal->nr++;
        return PYSLAB_OK;
    }

    static uint64_t journal_checksum(const struct journal *journal)
    {
        uint64_t sum = 0;

        for (const struct entry *entry = journal->first; entry != NULL; entry = entry->next)
            for (size_t i = 0; i < entry->size; i++)
                sum = sum * 31 + (unsigned char)entry->bytes[i];
        return sum;
    }
    """,
    include_dirs=[pyslab.get_include()],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
