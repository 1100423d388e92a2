/*
 * valgrind/memcheck.h
 *	  What PostgreSQL tells valgrind, told to AddressSanitizer instead.
 *
 * PostgreSQL carves its chunks of memory and its buffers out of larger blocks, so that a sanitizer sees no more
 * than the blocks. Compiled with USE_VALGRIND it says at each step which bytes may be used: those of a chunk,
 * not those behind it nor those of one that was freed; those of a buffer that is pinned. script/test-sanitized
 * puts this file in the place of valgrind's when it builds a server, and so the very same statements forbid and
 * allow the bytes to AddressSanitizer. It does not know about values that were never set: that is left out.
 */
#ifndef SANITIZED_MEMCHECK_H
#define SANITIZED_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define VALGRIND_MAKE_MEM_NOACCESS(address, size) __asan_poison_memory_region((address), (size))
#define VALGRIND_MAKE_MEM_DEFINED(address, size) __asan_unpoison_memory_region((address), (size))
#define VALGRIND_MAKE_MEM_UNDEFINED(address, size) __asan_unpoison_memory_region((address), (size))
#define VALGRIND_CHECK_MEM_IS_DEFINED(address, size) ((void) 0)
#define VALGRIND_GET_VBITS(address, bits, size) ((void) 0)

/* What is freed is forbidden already: CLOBBER_FREED_MEMORY wipes it, and says so. */
#define VALGRIND_CREATE_MEMPOOL(context, redzone, is_zeroed) ((void) 0)
#define VALGRIND_DESTROY_MEMPOOL(context) ((void) 0)
#define VALGRIND_MEMPOOL_ALLOC(context, address, size) __asan_unpoison_memory_region((address), (size))
#define VALGRIND_MEMPOOL_FREE(context, address) ((void) 0)
#define VALGRIND_MEMPOOL_CHANGE(context, before, after, size) __asan_unpoison_memory_region((after), (size))

/* PostgreSQL 16 and later count errors, and tell what caused them. */
#define VALGRIND_COUNT_ERRORS 0
#define VALGRIND_PRINTF(...) ((void) 0)

#endif							/* SANITIZED_MEMCHECK_H */
