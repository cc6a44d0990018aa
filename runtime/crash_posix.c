/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers that write a crash record.
 *
 *   fault ─► on_fault (on the thread's own crash stack) ─► the file ─► default action, again
 *               └── a second fault while it writes ─► that part is given up, the next goes on
 *
 * The first thread that faults writes; others wait for the end that it brings. All that the
 * handler needs (paths, names, symbols) was made when it was installed. What it reads of the shard
 * may be broken: every part is written under a place to come back to.
 */
#include "runtime/crash_internal.h"
#include "runtime/log.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (128u * 1024)
#define GUARD_BYTES 4096u
/* A fault so near the stack's pointer is one of the stack: a frame larger than the guard of a
 * thread would step over it, and end elsewhere. */
#define OVERFLOW_BYTES (256u * 1024)
#define WAIT_S 10 /* for the thread that writes; then the others end the process themselves */

static const struct fault_signal {
    int number;
    const char *name;
} fault_signals[] = {{SIGSEGV, "SIGSEGV"},
                     {SIGBUS, "SIGBUS"},
                     {SIGILL, "SIGILL"},
                     {SIGFPE, "SIGFPE"},
                     {SIGABRT, "SIGABRT"}};
#define FAULT_SIGNALS (sizeof fault_signals / sizeof fault_signals[0])

struct crash {
    const struct fault_signal *signal;
    const siginfo_t *info;
    const ucontext_t *context;
    const struct shard *shard; /* NULL: a thread that is no shard */
    struct crash_text text;
};

/* The process's. Written by install, before handlers run, and by uninstall, after. */
static struct {
    bool installed;
    char prefix[CRASH_PATH_BYTES_MAX]; /* DIRECTORY/CRASH- */
    const char *version;
    struct sigaction before[FAULT_SIGNALS];
    struct crash_stack stack; /* of the thread that installed */
    pid_t writer;             /* the thread that writes; 0: none. Atomic, relaxed. */
    volatile sig_atomic_t guarded;
    void *recover[5]; /* the writer's, while guarded: __builtin_setjmp's */
} crash;

/* --- stacks
 * ------------------------------------------------------------------------------------ */

void crash_signals_unblock(sigset_t *set) {
    for (unsigned i = 0; i < FAULT_SIGNALS; i++)
        sigdelset(set, fault_signals[i].number);
}

void crash_stack_enter(struct crash_stack *stack) {
    *stack = (struct crash_stack){0};
    if (!crash.installed)
        return;
    uint8_t *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return; /* a fault is handled on the thread's stack, then */
    stack_t new = {.ss_sp = memory + GUARD_BYTES, .ss_size = STACK_BYTES};
    mprotect(memory, GUARD_BYTES, PROT_NONE);
    if (sigaltstack(&new, &stack->before) == 0)
        stack->memory = memory;
    else
        munmap(memory, GUARD_BYTES + STACK_BYTES);
}

void crash_stack_leave(struct crash_stack *stack) {
    if (!stack->memory)
        return;
    sigaltstack(&stack->before, NULL);
    munmap(stack->memory, GUARD_BYTES + STACK_BYTES);
    stack->memory = NULL;
}

/* --- parts of the record
 * ----------------------------------------------------------------------- */

static void field(struct crash_text *text, const char *name, const char *value) {
    crash_put(text, name);
    crash_put(text, ": ");
    crash_put(text, value);
    crash_put(text, "\n");
}

static void put_named(struct crash_text *text, const char *name, int64_t number) {
    crash_put(text, name);
    crash_put(text, " (");
    crash_put_number(text, number);
    crash_put(text, ")");
}

/* By the kernel, about an instruction: not by somebody's kill. */
static bool has_address(const struct crash *of) {
    return of->info->si_code > 0 && of->signal->number != SIGABRT;
}

static bool is_overflow(const struct crash *of) {
    uintptr_t stack = crash_registers_of(of->context).stack;
    uintptr_t address = (uintptr_t)of->info->si_addr;
    return stack && has_address(of) &&
           (of->signal->number == SIGSEGV || of->signal->number == SIGBUS) &&
           address + OVERFLOW_BYTES >= stack && address <= stack + OVERFLOW_BYTES;
}

/* The last that the recorder knows of the actor that runs: a message, its init or its end. */
static uint64_t last_of(const struct shard *shard, uint64_t actor) {
    uint64_t count = shard->recorder.count;
    for (uint64_t i = 0; i < RECORDER_EVENTS && i < count; i++) {
        const struct recorder_slot *slot =
            &shard->recorder.slots[(count - 1 - i) & (RECORDER_EVENTS - 1)];
        enum recorder_event event = recorder_event_of(slot->what);
        if (slot->actor == actor &&
            (event == RECORDER_MESSAGE || event == RECORDER_SPAWN || event == RECORDER_EXIT))
            return slot->what;
    }
    return 0;
}

static void put_doing(struct crash_text *text, const struct actor_class *class, uint64_t what) {
    if (!what) {
        crash_put(text, "unknown");
    } else if (recorder_event_of(what) == RECORDER_SPAWN) {
        crash_put(text, "its init");
    } else if (recorder_event_of(what) == RECORDER_EXIT) {
        crash_put(text, "its end");
    } else {
        uint16_t kind = (uint16_t)what;
        const char *name = kind < class->handler_count ? class->handlers[kind].name : NULL;
        put_named(text, name ? name : "no handler of its own", kind);
    }
}

static void write_summary(struct crash *of) {
    struct crash_text *text = &of->text;
    const struct actor *actor = of->shard ? of->shard->running.actor : NULL;
    crash_put(text, "summary: ");
    crash_put(text, of->signal->name);
    if (check_failure.expression && of->signal->number == SIGABRT)
        crash_put(text, " (a failed check)");
    else if (is_overflow(of))
        crash_put(text, " (stack overflow)");
    else if (has_address(of)) {
        crash_put(text, " at ");
        crash_put_hex(text, (uintptr_t)of->info->si_addr);
    }
    if (actor) {
        const struct actor_class *class = actor->class->class;
        crash_put(text, " in ");
        crash_put(text, class->name);
        crash_put(text, ", message ");
        put_doing(text, class, last_of(of->shard, actor->id));
    }
    crash_put(text, ", in ");
    crash_put_address(text, crash_registers_of(of->context).instruction, true);
    crash_put(text, "\n");
}

static void write_process(struct crash *of) {
    struct crash_text *text = &of->text;
    struct timespec now = {0};
    char thread[17] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    field(text, "version", crash.version);
    crash_put(text, "time: ");
    crash_put_time(text, (uint64_t)now.tv_sec, true);
    crash_put(text, "\npid: ");
    crash_put_number(text, getpid());
    crash_put(text, "\nsignal: ");
    put_named(text, of->signal->name, of->signal->number);
    crash_put(text, ", code ");
    crash_put_number(text, of->info->si_code);
    if (has_address(of)) {
        crash_put(text, "\naddress: ");
        crash_put_hex(text, (uintptr_t)of->info->si_addr);
    }
    if (is_overflow(of))
        crash_put(text, "\nstack: overflow");
    prctl(PR_GET_NAME, thread);
    crash_put(text, "\n");
    field(text, "thread", thread);
}

static void write_check(struct crash *of) {
    struct crash_text *text = &of->text;
    if (!check_failure.expression || of->signal->number != SIGABRT)
        return;
    crash_put(text, "check: ");
    crash_put(text, check_failure.expression);
    crash_put(text, " (");
    crash_put(text, check_failure.file);
    crash_put(text, ":");
    crash_put_number(text, check_failure.line);
    crash_put(text, ")\n");
}

static void write_actor(struct crash *of) {
    struct crash_text *text = &of->text;
    const struct actor *actor = of->shard ? of->shard->running.actor : NULL;
    if (!actor) {
        field(text, "actor", "none was running here");
        return;
    }
    struct actor_id id = actor_id_of(actor);
    crash_put(text, "actor: ");
    crash_put_hex(text, id.bits);
    crash_put(text, " (node ");
    crash_put_number(text, id_node(id));
    crash_put(text, ", shard ");
    crash_put_number(text, id_shard(id));
    crash_put(text, ", slot ");
    crash_put_number(text, id_slot(id));
    crash_put(text, ", generation ");
    crash_put_number(text, (int64_t)(id.bits & ID_GENERATION_MAX));
    crash_put(text, ")\n");
    field(text, "class", actor->class->class->name);
    if (actor->flags & ACTOR_IS_NAMED) {
        crash_put(text, "key: ");
        crash_put_digits(text, actor->key, 1);
        crash_put(text, "\n");
    }
    crash_put(text, "message: ");
    put_doing(text, actor->class->class, last_of(of->shard, id.bits));
    crash_put(text, "\n");
}

static void write_blame(struct crash *of) {
    char line[CRASH_BLAME_BYTES_MAX];
    const struct shard *shard = of->shard;
    const struct blame *blame = shard ? &shard->blame : blame_of_job;
    size_t length = 0;
    if (blame && blame->describe && (!shard || blame->message == shard->actor_messages))
        length = blame->describe(blame->of, line, sizeof line);
    if (!length) {
        field(&of->text, "blame", "nobody");
        return;
    }
    crash_put(&of->text, "blame: ");
    for (size_t i = 0; i < length && i < sizeof line; i++)
        crash_put_character(&of->text, line[i]);
    crash_put(&of->text, "\n");
}

static void write_backtrace(struct crash *of) {
    uintptr_t frames[CRASH_FRAMES_MAX];
    crash_put(&of->text, "backtrace:\n");
    unsigned count = crash_backtrace(of->context, UINTPTR_MAX, frames);
    for (unsigned i = 0; i < count; i++) {
        crash_put(&of->text, "  ");
        crash_put_number(&of->text, i);
        crash_put(&of->text, " ");
        crash_put_address(&of->text, frames[i], i == 0);
        crash_put(&of->text, "\n");
    }
}

static void write_event(struct crash *of, const struct recorder_slot *slot) {
    struct crash_text *text = &of->text;
    const struct shard *shard = of->shard;
    enum recorder_event event = recorder_event_of(slot->what);
    uint32_t class_index = (uint32_t)(slot->what >> 24 & 0xff);
    const struct actor_class *class = slot->actor && class_index < shard->classes.count
                                          ? shard->classes.entries[class_index]->class
                                          : NULL;
    crash_put(text, "  -");
    crash_put_number(text, (uint32_t)shard->now_ms - (uint32_t)(slot->what >> 32));
    crash_put(text, " ms ");
    crash_put(text, recorder_event_name(event));
    crash_put(text, " ");
    crash_put(text, class ? class->name : "nobody");
    crash_put(text, " ");
    crash_put_hex(text, slot->actor);
    crash_put(text, " ");
    if (event == RECORDER_MESSAGE && class)
        put_doing(text, class, slot->what);
    else
        crash_put_number(text, recorder_detail_of(slot->what));
    crash_put(text, "\n");
}

static void write_events(struct crash *of) {
    const struct shard *shard = of->shard;
    if (!shard)
        return;
    crash_put(&of->text, "events of shard ");
    crash_put_number(&of->text, shard->index);
    crash_put(&of->text, ", the newest last:\n");
    uint64_t count = shard->recorder.count;
    uint64_t first = count >= RECORDER_EVENTS ? count - RECORDER_EVENTS + 1 : 0;
    for (uint64_t i = first; i < count; i++)
        write_event(of, &shard->recorder.slots[i & (RECORDER_EVENTS - 1)]);
}

/* --- the record
 * -------------------------------------------------------------------------------- */

static void write_part(struct crash *of, void (*write)(struct crash *of)) {
    if (__builtin_setjmp(crash.recover) == 0) { /* the library's checks what is broken here */
        crash.guarded = 1;
        write(of);
    } else {
        crash_put(&of->text, " (this part cannot be read)\n");
    }
    crash.guarded = 0;
    crash_text_flush(&of->text);
}

/* The file, or -1. The name is left in `name`. */
static int open_record(struct crash_text *name) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    crash_put_time(name, (uint64_t)now.tv_sec, false);
    crash_put(name, "-");
    crash_put_number(name, getpid());
    name->bytes[name->used < sizeof name->bytes ? name->used : sizeof name->bytes - 1] = '\0';
    char path[sizeof crash.prefix + 64];
    size_t prefix = strnlen(crash.prefix, sizeof crash.prefix);
    memcpy(path, crash.prefix, prefix);
    memcpy(path + prefix, name->bytes, strnlen(name->bytes, 63) + 1);
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static void say_where(const struct crash_text *name, bool written) {
    struct crash_text text = {.fd = STDERR_FILENO};
    crash_line_begin(&text);
    crash_line_put(&text, "tern: crashed; ");
    crash_line_put(&text, written ? "see " : "no record could be written as ");
    crash_line_put(&text, crash.prefix);
    crash_line_put(&text, name->bytes);
    crash_line_end(&text);
}

static void write_record(struct crash *of) {
    struct crash_text name = {.fd = -1};
    of->text.fd = open_record(&name);
    if (of->text.fd >= 0) {
        crash_put(&of->text, "Tern crash record, format 1\n");
        write_part(of, write_summary);
        write_part(of, write_process);
        write_part(of, write_check);
        write_part(of, write_actor);
        write_part(of, write_blame);
        write_part(of, write_backtrace);
        write_part(of, write_events);
        crash_put(&of->text, "end\n");
        crash_text_flush(&of->text);
        fsync(of->text.fd);
        close(of->text.fd);
    }
    say_where(&name, of->text.fd >= 0);
}

/* --- the handler
 * ------------------------------------------------------------------------------- */

/* The instruction runs again and faults again, now as if we had never been here. */
static void end_as_default(int signal, const siginfo_t *info) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    if (info->si_code <= 0 || signal == SIGABRT)
        syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void on_fault(int signal, siginfo_t *info, void *context) {
    const pid_t thread = gettid();
    pid_t writer = 0;
    /* Of threads that fault at once one writes. The exchange pairs with itself alone: what the
     * writer reads was there before any thread was, or is its own. */
    if (!__atomic_compare_exchange_n(&crash.writer, &writer, thread, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED)) {
        if (writer == thread && crash.guarded)
            __builtin_longjmp(crash.recover, 1);
        for (unsigned i = 0; writer != thread && i < WAIT_S; i++)
            sleep(1);
        end_as_default(signal, info);
        return;
    }
    struct crash of = {.info = info, .context = context, .shard = shard_of_thread};
    for (unsigned i = 0; i < FAULT_SIGNALS; i++)
        if (fault_signals[i].number == signal)
            of.signal = &fault_signals[i];
    write_record(&of);
    end_as_default(signal, info);
}

/* --- installing
 * -------------------------------------------------------------------------------- */

int crash_install(const struct crash_options *options) {
    unsigned keep = options->records_max ? options->records_max : CRASH_RECORDS_MAX;
    if (crash.installed)
        return -EALREADY;
    int length = snprintf(crash.prefix, sizeof crash.prefix, "%s/CRASH-", options->directory);
    if (length < 0 || length >= (int)sizeof crash.prefix)
        return -ENAMETOOLONG;
    int error = crash_directory_prepare(options->directory, keep - 1);
    if (error)
        return error;
    crash_symbols_load();
    crash.version = options->version ? options->version : "unknown";
    crash.installed = true;
    crash_stack_enter(&crash.stack);
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (unsigned i = 0; i < FAULT_SIGNALS; i++)
        CHECK(sigaction(fault_signals[i].number, &action, &crash.before[i]) == 0);
    return 0;
}

void crash_uninstall(void) {
    CHECK(crash.installed);
    for (unsigned i = 0; i < FAULT_SIGNALS; i++)
        CHECK(sigaction(fault_signals[i].number, &crash.before[i], NULL) == 0);
    crash_stack_leave(&crash.stack);
    crash.installed = false;
}
