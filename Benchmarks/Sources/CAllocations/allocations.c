// Counts allocations: the program's own malloc replaces the C library's and calls it.
#include "allocations.h"
#include <stddef.h>

static unsigned long count;
// Threads that share a counter wait for each other, which would distort other measurements; so counting starts off.
static int counts;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void count_allocations(void) { __atomic_store_n(&counts, 1, __ATOMIC_RELAXED); }

unsigned long allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }

static void counted(void) {
    if (__atomic_load_n(&counts, __ATOMIC_RELAXED)) __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) { counted(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { counted(); return __libc_calloc(number, size); }
void *realloc(void *old, size_t size) { counted(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { counted(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { counted(); return __libc_memalign(alignment, size); }
int posix_memalign(void **result, size_t alignment, size_t size) {
    counted();
    *result = __libc_memalign(alignment, size);
    return *result ? 0 : 12;
}
