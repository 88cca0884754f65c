/* raw.c - see raw.h: records are added, and found again. */
#include "profile/raw.h"

#include "base/bits.h"
#include "base/check.h"
#include "os/os.h"
#include "stack/store.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define RAW_STEP_BYTES ((size_t)256 << 10) /* by which the file grows */
#define UNIT_BYTES 8u

/* --- records -------------------------------------------------------------- */

static struct raw_record *record_at(struct raw *raw, uint32_t unit)
{
    return (struct raw_record *)(void *)(raw->file.base + (size_t)unit * UNIT_BYTES);
}

static uint32_t *chain_of(struct raw *raw, enum raw_kind kind, uint32_t id)
{
    uint32_t hash = (id * 4u + kind) * 0x9e3779b1u;

    return &raw->chain[hash >> 20];
}

_Static_assert(sizeof((struct raw *)0)->chain / sizeof(uint32_t) == 1u << 12, "20 bits go");

static struct raw_record *record_find(struct raw *raw, enum raw_kind kind, uint32_t id)
{
    uint32_t unit = *chain_of(raw, kind, id);

    while (unit != 0) {
        struct raw_record *record = record_at(raw, unit);

        if (record->kind == kind && record->id == id)
            return record;
        unit = record->next;
    }
    return NULL;
}

/* Room for a record behind the last one, all zero but for its head; NULL. It is none until
 * record_end. */
static struct raw_record *record_begin(struct raw *raw, enum raw_kind kind, uint32_t id,
                                       size_t nr_bytes)
{
    size_t used = raw_header(raw)->used;
    struct raw_record *record;

    nr_bytes = align_up(nr_bytes, UNIT_BYTES);
    if (used + nr_bytes > raw->file.bytes &&
        os_record_grow(&raw->file, align_up(used + nr_bytes, RAW_STEP_BYTES)) != PYSLAB_OK)
        return NULL;
    record = record_at(raw, (uint32_t)(used / UNIT_BYTES));
    *record = (struct raw_record){.kind = kind, .nr_bytes = (uint32_t)nr_bytes, .id = id};
    return record;
}

static void record_end(struct raw *raw, struct raw_record *record)
{
    uint32_t *chain = chain_of(raw, record->kind, record->id);

    record->next = *chain;
    *chain = (uint32_t)(raw_header(raw)->used / UNIT_BYTES);
    raw_header(raw)->used += record->nr_bytes;
}

/* --- what sites are made of ----------------------------------------------- */

static bool text_put(struct raw *raw, uint32_t id)
{
    struct raw_record *record;
    uint32_t nr_bytes;
    const void *text = store_get(id, &nr_bytes);

    if (text == NULL || record_find(raw, RAW_TEXT, id) != NULL)
        return true;
    record = record_begin(raw, RAW_TEXT, id, sizeof *record + nr_bytes);
    if (record == NULL)
        return false;
    memcpy(record + 1, text, nr_bytes);
    record_end(raw, record);
    return true;
}

static bool module_is_known(struct raw *raw, uint64_t address)
{
    for (uint32_t id = 0; id < raw->nr_modules; id++) {
        struct raw_module *module = (struct raw_module *)record_find(raw, RAW_MODULE, id);

        if (module != NULL && address >= module->start && address < module->end)
            return true;
    }
    return false;
}

void raw_module_put(struct raw *raw, const struct os_loaded *loaded)
{
    size_t length = strlen(loaded->path) + 1;
    struct raw_module *module;

    if (module_is_known(raw, loaded->range.start))
        return;
    module = (struct raw_module *)record_begin(raw, RAW_MODULE, raw->nr_modules,
                                               sizeof *module + length);
    if (module == NULL)
        return;
    module->start = loaded->range.start;
    module->end = loaded->range.end;
    module->bias = loaded->bias;
    memcpy(module->path, loaded->path, length);
    record_end(raw, &module->head);
    raw->nr_modules++;
}

/* --- sites ---------------------------------------------------------------- */

bool raw_knows_modules(struct raw *raw, uint32_t stack)
{
    uint32_t nr_bytes;
    const struct stack_packed *frames = store_get(stack, &nr_bytes);

    if (frames == NULL || record_find(raw, RAW_SITE, stack) != NULL)
        return true;
    for (uint32_t i = 0; i < nr_bytes / sizeof *frames; i++)
        if (frames[i].line == 0 && !module_is_known(raw, frames[i].place))
            return false;
    return true;
}

static bool texts_put(struct raw *raw, const struct stack_packed *frames, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++)
        if (frames[i].line != 0 && (!text_put(raw, (uint32_t)(frames[i].place >> 32)) ||
                                    !text_put(raw, (uint32_t)frames[i].place)))
            return false;
    return true;
}

static struct raw_site *site_new(struct raw *raw, uint32_t stack)
{
    uint32_t nr_bytes;
    const struct stack_packed *frames = store_get(stack, &nr_bytes);
    uint32_t nr = frames != NULL ? nr_bytes / (uint32_t)sizeof *frames : 0;
    struct raw_site *site;

    if (!texts_put(raw, frames, nr))
        return NULL;
    site = (struct raw_site *)record_begin(raw, RAW_SITE, stack,
                                           sizeof *site + nr * sizeof site->frames[0]);
    if (site == NULL)
        return NULL;
    site->nr_frames = nr;
    for (uint32_t i = 0; i < nr; i++)
        site->frames[i] = (struct raw_frame){.place = frames[i].place, .line = frames[i].line};
    record_end(raw, &site->head);
    return site;
}

struct raw_site *raw_site(struct raw *raw, uint32_t stack)
{
    struct raw_record *record = record_find(raw, RAW_SITE, stack);

    return record != NULL ? (struct raw_site *)record : site_new(raw, stack);
}

/* --- the file ------------------------------------------------------------- */

int raw_open(struct raw *raw, const char *path, uint64_t every)
{
    struct raw_header *header;
    int error = os_record_open(&raw->file, path, RAW_STEP_BYTES);

    memset(raw->chain, 0, sizeof raw->chain);
    raw->nr_modules = 0;
    if (error != PYSLAB_OK)
        return error;
    header = raw_header(raw);
    header->version = RAW_VERSION;
    header->state = RAW_RUNS;
    header->used = align_up(sizeof *header, UNIT_BYTES);
    header->every = every;
    header->started_s = (uint64_t)time(NULL);
    header->begun_ns = header->last_ns = os_time_ns();
    header->pid = (uint32_t)getpid();
    os_command_line(header->command, sizeof header->command);
    memcpy(header->magic, RAW_MAGIC, sizeof header->magic);
    return PYSLAB_OK;
}

void raw_close(struct raw *raw)
{
    size_t used;

    if (!os_record_is_here(&raw->file)) {
        os_record_close(&raw->file, 0);
        return;
    }
    used = raw_header(raw)->used;
    raw_header(raw)->last_ns = os_time_ns();
    raw_header(raw)->state = RAW_ENDED;
    os_record_close(&raw->file, used);
}
