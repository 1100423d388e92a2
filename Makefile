# The version is named once, in product_upsert.control.
EXTENSION = product_upsert
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" product_upsert.control)

MODULE_big = product_upsert
OBJS = product_upsert.o \
	src/access.o \
	src/bulk.o \
	src/call.o \
	src/column.o \
	src/engine.o \
	src/guard.o \
	src/jsonbwriter.o \
	src/keyhash.o \
	src/keyinfo.o \
	src/keylock.o \
	src/payload.o \
	src/result.o \
	src/row.o \
	src/statement.o \
	src/store.o \
	src/store_heap.o \
	src/store_spi.o \
	src/symbol.o \
	src/target.o \
	src/upsert.o
DATA = product_upsert--$(EXTVERSION).sql
DOCS = doc/product_upsert.md
PG_CPPFLAGS = -DPRODUCT_UPSERT_VERSION='"$(EXTVERSION)"'

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8

ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=product_upsert

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h)
