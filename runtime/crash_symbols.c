/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backtraces, and names for their addresses, where neither memory nor a lock may be taken.
 *
 * The C library's backtrace() knows how to leave its own functions, which have no frame pointers;
 * where it does not get to the interrupted code, our frame pointers are followed. Names come from
 * the program's own symbol table, mapped when the handlers are installed: backtrace_symbols_fd
 * knows exported functions alone, and nearly all of ours are static. An address in a library is
 * named by the library and its offset, for addr2line.
 */
#include "runtime/crash_internal.h"

#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define INSTRUCTION_OF(context) (context)->uc_mcontext.gregs[REG_RIP]
#define STACK_OF(context) (context)->uc_mcontext.gregs[REG_RSP]
#define FRAME_OF(context) (context)->uc_mcontext.gregs[REG_RBP]
#elif defined(__aarch64__)
#define INSTRUCTION_OF(context) (context)->uc_mcontext.pc
#define STACK_OF(context) (context)->uc_mcontext.sp
#define FRAME_OF(context) (context)->uc_mcontext.regs[29]
#else /* no frames, and an overflow of the stack is not told apart */
#define INSTRUCTION_OF(context) 0
#define STACK_OF(context) 0
#define FRAME_OF(context) 0
#endif

#define MODULES_MAX 64u
#define FRAME_BYTES_MAX (1u << 20) /* a frame that is larger is taken for nonsense */

struct module {
    uintptr_t base, begin, end;
    char name[48];
};

/* Filled once, before any handler runs; then constant. */
static struct module modules[MODULES_MAX]; /* the program is the first */
static unsigned module_count;
static const ElfW(Sym) * symbols;
static size_t symbol_count;
static const char *strings;
static size_t strings_bytes;

/* --- loading
 * ----------------------------------------------------------------------------------- */

static void name_module(struct module *module, const char *path) {
    char program[256] = "";
    if (!*path && readlink("/proc/self/exe", program, sizeof program - 1) > 0)
        path = program;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    memcpy(module->name, name, strnlen(name, sizeof module->name - 1)); /* the rest is zero */
}

static int add_module(struct dl_phdr_info *info, size_t size, void *context) {
    if (module_count == MODULES_MAX)
        return 1;
    struct module *module = &modules[module_count++];
    *module = (struct module){.base = info->dlpi_addr, .begin = UINTPTR_MAX};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;
        if (header->p_type != PT_LOAD)
            continue;
        if (begin < module->begin)
            module->begin = begin;
        if (begin + header->p_memsz > module->end)
            module->end = begin + header->p_memsz;
    }
    name_module(module, info->dlpi_name);
    return 0;
}

static bool is_inside(uint64_t offset, uint64_t bytes, size_t all) {
    return offset <= all && bytes <= all - offset;
}

static void find_symbols(const uint8_t *file, size_t bytes) {
    const ElfW(Ehdr) *header = (const void *)file;
    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof(ElfW(Shdr)) ||
        !is_inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr)), bytes))
        return;
    const ElfW(Shdr) *sections = (const void *)(file + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *section = &sections[i];
        if (section->sh_type != SHT_SYMTAB || section->sh_link >= header->e_shnum)
            continue;
        const ElfW(Shdr) *names = &sections[section->sh_link];
        if (!is_inside(section->sh_offset, section->sh_size, bytes) ||
            !is_inside(names->sh_offset, names->sh_size, bytes))
            continue;
        symbols = (const void *)(file + section->sh_offset);
        symbol_count = section->sh_size / sizeof *symbols;
        strings = (const char *)file + names->sh_offset;
        strings_bytes = names->sh_size;
    }
}

/* The mapping stays for the process's life; pages of it are read when a name is looked for. */
static void map_symbols(void) {
    struct stat status;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        size_t bytes = (size_t)status.st_size;
        void *file = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED)
            find_symbols(file, bytes);
    }
    close(fd);
}

static void load(void) {
    void *frame;
    dl_iterate_phdr(add_module, NULL);
    map_symbols();
    backtrace(&frame, 1); /* loads the unwinder, which allocates */
}

void crash_symbols_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
}

/* --- names
 * ------------------------------------------------------------------------------------- */

static const struct module *find_module(uintptr_t address) {
    for (unsigned i = 0; i < module_count; i++)
        if (address >= modules[i].begin && address < modules[i].end)
            return &modules[i];
    return NULL;
}

/* The function of the program that has this offset, or NULL. */
static const ElfW(Sym) * find_symbol(uintptr_t offset) {
    for (size_t i = 0; i < symbol_count; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && offset >= symbols[i].st_value &&
            offset - symbols[i].st_value < symbols[i].st_size && symbols[i].st_name < strings_bytes)
            return &symbols[i];
    return NULL;
}

void crash_put_address(struct crash_text *text, uintptr_t address, bool innermost) {
    const struct module *module = find_module(address);
    if (!module) {
        crash_put_hex(text, address);
        return;
    }
    uintptr_t offset = address - module->base;
    /* A call that does not return may be a function's last instruction. */
    const ElfW(Sym) *symbol = module == modules ? find_symbol(offset - !innermost) : NULL;
    if (symbol) {
        crash_put(text, strings + symbol->st_name);
        crash_put(text, "+");
        crash_put_hex(text, offset - symbol->st_value);
        crash_put(text, " (");
    }
    crash_put(text, module->name);
    crash_put(text, "+");
    crash_put_hex(text, offset);
    if (symbol)
        crash_put(text, ")");
}

/* --- frames
 * ------------------------------------------------------------------------------------ */

struct crash_registers crash_registers_of(const ucontext_t *context) {
    return (struct crash_registers){(uintptr_t)INSTRUCTION_OF(context),
                                    (uintptr_t)STACK_OF(context), (uintptr_t)FRAME_OF(context)};
}

/* A frame begins with the caller's frame pointer and the return address. */
__attribute__((no_sanitize_address, no_sanitize_thread)) static unsigned
follow_frames(struct crash_registers at, uintptr_t stack_end, uintptr_t frames[CRASH_FRAMES_MAX]) {
    unsigned count = 0;
    if (at.instruction)
        frames[count++] = at.instruction;
    if (at.stack && !find_module(at.instruction)) {      /* a call of what is no function */
        uintptr_t caller = *(const uintptr_t *)at.stack; // NOLINT(performance-no-int-to-ptr)
        if (find_module(caller))
            frames[count++] = caller;
    }
    uintptr_t below = at.stack, frame = at.frame;
    while (count < CRASH_FRAMES_MAX && frame >= below && frame - below < FRAME_BYTES_MAX &&
           frame < stack_end - 2 * sizeof(uintptr_t) && frame % sizeof(uintptr_t) == 0) {
        const uintptr_t *words = (const uintptr_t *)frame; // NOLINT(performance-no-int-to-ptr)
        if (!find_module(words[1]))
            break;
        frames[count++] = words[1];
        below = frame + 2 * sizeof(uintptr_t);
        frame = words[0];
    }
    return count;
}

unsigned crash_backtrace(const ucontext_t *context, uintptr_t stack_end,
                         uintptr_t frames[CRASH_FRAMES_MAX]) {
    struct crash_registers at = crash_registers_of(context);
    void *all[CRASH_FRAMES_MAX + 8]; /* the handler's own are the first */
    int count = backtrace(all, sizeof all / sizeof all[0]);
    int first = 0;
    while (first < count && (uintptr_t)all[first] != at.instruction)
        first++;
    if (count - first < 2)
        return follow_frames(at, stack_end, frames);
    unsigned kept = 0;
    while (first < count && kept < CRASH_FRAMES_MAX)
        frames[kept++] = (uintptr_t)all[first++];
    return kept;
}
