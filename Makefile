# The version is named once, in product_upsert.control.
EXTENSION = product_upsert
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" product_upsert.control)

MODULE_big = product_upsert
OBJS = product_upsert.o \
	src/access.o \
	src/arguments.o \
	src/attempt.o \
	src/bulk.o \
	src/call.o \
	src/checkedsql.o \
	src/citus.o \
	src/column.o \
	src/condition.o \
	src/ddl.o \
	src/declaration.o \
	src/duplicates.o \
	src/engine.o \
	src/guard.o \
	src/guard_store.o \
	src/heapwrite.o \
	src/identity.o \
	src/jsonbwriter.o \
	src/keycondition.o \
	src/keyhash.o \
	src/keyindex.o \
	src/keyinfo.o \
	src/keylock.o \
	src/merge.o \
	src/merge_rows.o \
	src/merge_sql.o \
	src/owner.o \
	src/partition.o \
	src/payload.o \
	src/probe.o \
	src/protect.o \
	src/reference.o \
	src/reference_index.o \
	src/rejects.o \
	src/result.o \
	src/row.o \
	src/rowlock.o \
	src/statement.o \
	src/store_choice.o \
	src/store_heap.o \
	src/store_partitioned.o \
	src/store_spi.o \
	src/table.o \
	src/target.o \
	src/targetcache.o \
	src/triggerrow.o \
	src/upsert.o
DATA = product_upsert--$(EXTVERSION).sql
DOCS = doc/product_upsert.md
PG_CPPFLAGS = -DPRODUCT_UPSERT_VERSION='"$(EXTVERSION)"'

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8

ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=product_upsert

# JIT compilation would inline a function's bitcode, and look up in all loaded libraries what that calls.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h) Makefile

# PostgreSQL loads libraries so that they share their symbols: another's function of the same name would be
# called instead of ours, or ours instead of another's. Only product_upsert.c has what PostgreSQL looks up.
$(filter src/%,$(OBJS)): override CFLAGS += -fvisibility=hidden
