/* Machine files: what the cost model knows of a machine, as a JSON object. */
#include "api/program.h"
#include "io/json_document.h"

#include <string.h>

#define MOST ((int64_t)1 << 50)

static enum fuse_status parse(struct fuse_machine *out, struct fuse_arena *arena, const struct fuse_program_file *file,
                              struct fuse_error *err) {
    static const char *const keys[] = {"schema", "version", "made_by",
#define FUSE_MACHINE(field, standard, meaning) #field,
#include "plan/machine.def"
#undef FUSE_MACHINE
                                       "ranks_per_node", NULL};
    struct fuse_document doc;
    const char *schema = NULL, *made_by = NULL;
    int64_t version, per_node = 0;
    FUSE_TRY(
        fuse_document_parse(&doc, arena, file->text, file->bytes, file->path, (struct fuse_document_limits){0}, err));
    FUSE_TRY(fuse_document_expect(&doc, doc.root, FUSE_DOCUMENT_OBJECT, "a machine file", err));
    FUSE_TRY(fuse_document_known(&doc, doc.root, keys, "a machine file", err));
    FUSE_TRY(fuse_document_get_string(&schema, &doc, doc.root, "schema", true, err));
    if (strcmp(schema, "fuse.machine") != 0) {
        enum fuse_status st =
            fuse_document_fail(&doc, fuse_document_find(doc.root, "schema"), err, "this is no machine file");
        fuse_hint(err, "fuse-dist calibrate FILE makes one");
        return st;
    }
    FUSE_TRY(fuse_document_get_integer(&version, &doc, doc.root, "version", 1, 1, true, err));
    FUSE_TRY(fuse_document_get_string(&made_by, &doc, doc.root, "made_by", false, err));
#define FUSE_MACHINE(field, standard, meaning) \
    FUSE_TRY(fuse_document_get_integer(&out->field, &doc, doc.root, #field, 0, MOST, false, err));
#include "plan/machine.def"
#undef FUSE_MACHINE
    FUSE_TRY(fuse_document_get_integer(&per_node, &doc, doc.root, "ranks_per_node", 0, INT32_MAX, false, err));
    out->ranks_per_node = (int)per_node;
    return FUSE_OK;
}

enum fuse_status fuse_api_read_machine(struct fuse_machine *out, struct fuse_dist_program *program,
                                       struct fuse_error *err) {
    struct fuse_program_file file = {0};
    *out = fuse_machine_default();
    if (!program->options.machine)
        return FUSE_OK;
    FUSE_TRY(fuse_api_read_text(&file, program, "machine file", program->options.machine, err));
    return parse(out, program->arena, &file, err);
}

void fuse_api_print_machine(struct fuse_text *text, const struct fuse_machine *machine) {
    fuse_text_add(text, "{\n  \"schema\": \"fuse.machine\",\n  \"version\": 1,\n  \"made_by\": \"fuse-dist %s\"",
                  fuse_dist_version());
#define FUSE_MACHINE(field, standard, meaning) \
    if (machine->field >= 0)                   \
        fuse_text_add(text, ",\n  \"%s\": %lld", #field, (long long)machine->field);
#include "plan/machine.def"
#undef FUSE_MACHINE
    if (machine->ranks_per_node > 0)
        fuse_text_add(text, ",\n  \"ranks_per_node\": %d", machine->ranks_per_node);
    fuse_text_add(text, "\n}\n");
}
