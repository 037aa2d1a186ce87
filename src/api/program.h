/* What a job and a program are behind the public header, and the parts that its stages share. */
#ifndef FUSE_API_PROGRAM_H
#define FUSE_API_PROGRAM_H

#include "api/fuse_dist.h"
#include "api/policy_program.h"
#include "comm/comm.h"
#include "exec/exec.h"
#include "io/symbols.h"
#include "io/format.h"
#include "lang/import.h"
#include "lang/lang.h"
#include "lang/parser.h"
#include "plan/plan.h"

struct fuse_dist_job {
    struct fuse_comm *comm;
    double opened_seconds;    /* monotonic clock, taken before MPI starts */
    struct fuse_arena *arena; /* of fuse_dist_info, NULL until then */
    int local_rank, local_size;
    int ranks_per_node; /* 0 when nodes differ, or when neighbours in rank order are on different nodes */
};

/* What was decided about a program before it ran, in words: where its plan comes from, what a rule of the policy does. */
struct fuse_api_event {
    const char *kind; /* "cache", "policy", .. */
    const char *text; /* one line */
};

/* Of a plan, all phases together. */
struct fuse_policy_cost {
    int64_t time_ps, received_bytes_max, received_bytes_total, peak_bytes;
};

/* An import statement that was followed. */
struct fuse_api_lookup {
    const char *text; /* as written */
    int from, file;   /* numbers of files: where it stands, and what it means */
};

struct fuse_dist_program {
    struct fuse_dist_job *job;
    struct fuse_arena *arena;
    const char *path;
    struct fuse_dist_options options;
    enum fuse_status status; /* of the stages so far; a failure stays */
    struct fuse_text messages;
    int reported; /* diagnostics already in messages */

    struct fuse_files files;
    FUSE_VEC(const char *) real_path; /* of the files, links resolved; rank 0 only */
    FUSE_VEC(struct fuse_api_lookup) lookups;
    struct fuse_diagnostics diagnostics;
    struct fuse_policy policy;                 /* path NULL: there is none */
    struct fuse_policy_program policy_program; /* what its rules are about */
    FUSE_VEC(struct fuse_plan_pin) pins;       /* what they say about layouts */
    struct fuse_ir free_ir;                    /* with pins or a mesh: simplified as if there were none */
    bool is_constrained;                       /* of a plan from the cache: its policy said where things lie */
    bool free_fits;                            /* .. and a plan for it exists, which costs: */
    struct fuse_policy_cost free_cost;
    bool any_order_fits; /* the same of a deterministic plan, were it not */
    struct fuse_policy_cost any_order_cost;
    FUSE_VEC(struct fuse_api_event) events;
    struct fuse_ast ast;
    struct fuse_weights *weights; /* NULL: no manifest */
    struct fuse_sources sources;
    struct fuse_sources probed; /* sources that are known before the program says that it has them */
    struct fuse_ir ir;
    struct fuse_symbols *symbols;    /* NULL: the program has none */
    FUSE_VEC(const char *) names;    /* files that list symbols, as the program says them */
    enum fuse_status symbols_status; /* why they could not be had, beside what is reported */
    struct fuse_error symbols_error;
    bool is_parsed, is_checked;
    struct fuse_api_packed *packed; /* packed.h; NULL: the program is a file of its own */
    const char *converted_to; /* fuse_dist_open_convert: the program is made, and its places mean nothing to the user */
    struct fuse_contents *contents; /* fuse_dist_open_file, on rank 0 */
    int first_query, end_query;     /* files that are queries and questions */
    struct fuse_asked *question;    /* [options.questions] */

    struct fuse_machine machine;
    const struct fuse_backend_ops *backend;
    struct fuse_fault fault;
    bool perturb;

    struct fuse_plan *plan;
    const void *cache_key; /* what an entry of the cache must be about; NULL: no cache */
    size_t cache_key_bytes;
    bool is_kept_checked;        /* the entry is about what follows, and not about the program's text */
    struct fuse_sources checked; /* of the IR before it was simplified */
    int checked_events;          /* what there was to tell by then */
    size_t checked_message_bytes;
    const char *pack_complaint;              /* why the plan of a pack was not used, NULL */
    const char *cache_complaint;             /* why an entry of the cache was not used, NULL */
    struct fuse_program_file policy_file;    /* read already, when it has a path */
    const struct fuse_sink_storage *storage; /* [ops] of a plan from the cache: what the policy says; NULL: ask it */
    bool has_run;
    int threads;
    struct fuse_exec_report report;
    double wall_seconds;
    double scan_seconds;    /* of probing sources, and of reading those whose headers do not tell all */
    double compile_seconds; /* from text to plan, without the time of probing sources */
    struct fuse_watchdog *watchdog;
};

/* Monotonic, in seconds. */
double fuse_api_seconds(void);
/* What an arena does when memory for metadata runs out: ends this process, and the launch system the others. */
_Noreturn void fuse_api_out_of_memory(size_t bytes);

/* Collective over job->comm: what is known of its nodes. */
enum fuse_status fuse_api_find_node(struct fuse_dist_job *job, struct fuse_error *err) FUSE_CHECKED;

/* Collective: every rank's number is equal. */
enum fuse_status fuse_api_same(struct fuse_comm *comm, bool *same, uint64_t number,
                               struct fuse_error *err) FUSE_CHECKED;

/* The files that messages show lines of; NULL: none. */
const struct fuse_files *fuse_api_shown_files(const struct fuse_dist_program *program);
/* Local: adds the diagnostics that are not in the messages yet. */
void fuse_api_render(struct fuse_dist_program *program);
/* Local: adds a line to the events that --explain and --times show beside the steps. Equal calls on every rank. */
void fuse_api_add_event(struct fuse_dist_program *program, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends a stage: makes a local failure everybody's, adds its message to everybody's messages, keeps its status. Collective. */
enum fuse_status fuse_api_end_stage(struct fuse_dist_program *program, enum fuse_status local, struct fuse_error *err);

/* A fuse_loader for imports. Collective. */
enum fuse_status fuse_api_find_import(void *program, int *file, const char *text, int from, struct fuse_error *err);
/* Collective: rank 0 reads a file and every rank gets its bytes, NUL-terminated, in the arena. INPUT when it cannot be
 * read. what: "program", "policy", for messages. */
enum fuse_status fuse_api_read_text(struct fuse_program_file *out, struct fuse_dist_program *program, const char *what,
                                    const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Rank 0: the number of the file that an import means now, -1: none. A file that is not in program->files yet has the next
 * number, and its path and text are in *found. */
int fuse_api_look_up(struct fuse_dist_program *program, struct fuse_program_file *found,
                     const struct fuse_api_lookup *lookup);

/* The build that this process runs, as digits; NULL when the linker has left none. */
const char *fuse_api_build_id(struct fuse_arena *arena);

/* "kind:n@rank" or "plan". USAGE when it is something else, or when fault points are not compiled in. */
enum fuse_status fuse_api_parse_fault(struct fuse_fault *fault, bool *perturb, const char *text,
                                      struct fuse_error *err) FUSE_CHECKED;

/* ---- places.c: what names in a program mean as files ------------------------------------------------------------ */

/* Splits "file.h5:/group/set" behind the suffix of its file; *part is NULL when there is none. In the arena. */
void fuse_api_split_place(const char **path, const char **part, struct fuse_arena *arena, const char *text);
/* A path under a folder: the path itself when it is absolute, or when root is NULL. */
const char *fuse_api_resolve(struct fuse_arena *arena, const char *root, const char *path);
/* What exec and io get to see: the resolved path, normalised for a sink so that equal files have equal paths, and the part
 * (of a sink in its canonical spelling). */
void fuse_api_source_place(const char **path, const char **part, struct fuse_dist_program *program, const char *text);
void fuse_api_sink_place(const char **path, const char **part, struct fuse_dist_program *program, const char *text);
/* Collective: rank 0 probes the sources, all scan what a header does not tell, and every rank gets the facts, or the diagnostics. */
enum fuse_status fuse_api_probe_sources(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;
/* Local: the format of a place of the program, or NULL after a diagnostic. */
const struct fuse_format *fuse_api_find_format(struct fuse_dist_program *program, const char *path, const char *part,
                                               struct fuse_span span, bool is_sink);
/* machine_file.c. Collective: what the machine file of the options says, else the defaults. INPUT. */
enum fuse_status fuse_api_read_machine(struct fuse_machine *out, struct fuse_dist_program *program,
                                       struct fuse_error *err) FUSE_CHECKED;
/* Local. The text of a machine file; fields that are negative are left out. */
void fuse_api_print_machine(struct fuse_text *text, const struct fuse_machine *machine);

/* symbol_ids.c. Collective: the load of a fuse_symbol_loader whose context is the program. */
bool fuse_api_load_symbols(void *program, struct fuse_symbol_demand *demand);
const char *fuse_api_nearest_symbol(void *program, int table, const char *text);
/* Collective: formats, places and doubles of the sinks. Reports what is wrong. */
enum fuse_status fuse_api_check_sinks(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;
/* Local, when types are known: reports sinks whose format cannot hold theirs. */
void fuse_api_check_sink_types(struct fuse_dist_program *program);
/* Local: the same verdict on one place, for sinks that come from elsewhere; only rank 0 follows links. */
bool fuse_api_may_write(struct fuse_dist_program *program, const char *text);
/* Collective: whether an export may be written to the place. USAGE, OUTPUT. */
enum fuse_status fuse_api_check_out(struct fuse_dist_program *program, const char *text,
                                    struct fuse_error *err) FUSE_CHECKED;

/* ---- weights.c --------------------------------------------------------------------------------------------------- */

/* Collective: reads the weight manifest that the options or the policy name, if they do, as one more file of the program,
 * and changes it as the policy says. INPUT when it is no manifest; what is wrong with rules about it is reported. */
enum fuse_status fuse_api_read_manifest(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;
/* Local, pure: finds the weights that the program uses and does not define, and makes rules of the policy of where the
 * manifest places them. Reports what is wrong. */
void fuse_api_find_weights(struct fuse_dist_program *program);
/* Collective: probes the files of those weights and adds to the program what defines them. What is wrong is reported. */
enum fuse_status fuse_api_take_weights(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;

/* What is known of each weight, a line each; nothing without a manifest. */
void fuse_api_describe_weights(struct fuse_text *text, const struct fuse_dist_program *program);

/* ---- inputs.c: what options change in a program; local, pure ----------------------------------------------------- */

/* What the program knows of tensors of some names. Those of a fn are its own. */
struct fuse_wanted {
    const char *name;
    struct fuse_item *source; /* the first */
    int sources, equations;
    bool is_used, is_boolean; /* boolean: in parentheses wherever it is used */
    int axes;                 /* as it is used the first time */
    struct fuse_span use;
};
/* Fills in the rest for names that differ. */
void fuse_api_survey(struct fuse_dist_program *program, struct fuse_wanted *wanted, int n);
/* Gives tensors the sources that the options say. Reports what is wrong. */
void fuse_api_take_inputs(struct fuse_dist_program *program);
/* Parses the queries, files of their own, into the program. Reports what is wrong. */
void fuse_api_take_queries(struct fuse_dist_program *program);
/* Makes exports sinks, when the options say so. */
enum fuse_status fuse_api_export_to_file(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;

/* ---- contents.c, convert.c: files without a program -------------------------------------------------------------- */

/* Collective: probes a place and scans it, as a source of the program's `probed`. What is wrong is reported. */
enum fuse_status fuse_api_probe_place(struct fuse_dist_program *program, const char *text,
                                      struct fuse_error *err) FUSE_CHECKED;
/* Collective: sets contents on rank 0: of a format with parts, or of any file as one part without a name. What is wrong is
 * reported, or a failure. */
enum fuse_status fuse_api_list_contents(struct fuse_dist_program *program, const char *text,
                                        struct fuse_error *err) FUSE_CHECKED;
/* FUSE_DIST_CONTENTS, on rank 0. */
void fuse_api_print_contents(struct fuse_text *text, const struct fuse_dist_program *program, bool json);
/* Collective: the text of a program that writes what the program's path holds to converted_to; NULL after diagnostics. */
enum fuse_status fuse_api_make_conversion(struct fuse_program_file *out, struct fuse_dist_program *program,
                                          struct fuse_error *err) FUSE_CHECKED;

/* check_summary.c. Local. */
void fuse_api_summarise(struct fuse_text *text, const struct fuse_dist_program *program);

/* ---- machine.c: what this rank may use -------------------------------------------------------------------------- */

enum fuse_memory_limit {
    FUSE_LIMIT_PHYSICAL,
    FUSE_LIMIT_GROUP,
    FUSE_LIMIT_BATCH,
    FUSE_LIMIT_ADDRESSES,
    FUSE_LIMIT_DATA
};
struct fuse_memory {
    int64_t bytes;
    enum fuse_memory_limit limit; /* what bounds it */
};
/* Local: what this process may use, everything included: its share of the machine's memory, or of a control group's or
 * the batch system's (node_bytes, 0: unknown), or less when limits of the process say so. */
struct fuse_memory fuse_api_memory(int local_size, int64_t node_bytes);
/* Collective: that of the rank with the least. */
enum fuse_status fuse_api_share_memory(struct fuse_memory *out, struct fuse_dist_job *job, int64_t node_bytes,
                                       struct fuse_error *err) FUSE_CHECKED;
/* "the control group's limit" */
const char *fuse_api_memory_limit_text(enum fuse_memory_limit limit);
/* Collective: cores that this rank may use, those that it shares with others of its machine divided among them. */
enum fuse_status fuse_api_cores(int *out, struct fuse_dist_job *job, struct fuse_error *err) FUSE_CHECKED;

#endif
