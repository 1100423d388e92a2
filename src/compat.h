/*
 * compat.h
 *		Every difference between the supported PostgreSQL versions, 15 to 18.
 */
#ifndef PRODUCT_UPSERT_COMPAT_H
#define PRODUCT_UPSERT_COMPAT_H

#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/regproc.h"

#define NEWEST_SUPPORTED_MAJOR	18

StaticAssertDecl(PG_VERSION_NUM >= 150000 &&
				 PG_VERSION_NUM / 10000 <= NEWEST_SUPPORTED_MAJOR,
				 "product_upsert supports PostgreSQL 15 to 18");

/* PostgreSQL 18 lets a module state its name and version. */
#if PG_VERSION_NUM >= 180000
#define MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define MODULE_MAGIC(name_, version_)	PG_MODULE_MAGIC
#endif

/* The current transaction's number, unique within this backend. */
static inline LocalTransactionId
CurrentLocalTransactionId(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

static inline bool
HoldsLock(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

static inline AclResult
NamespaceAclCheck(Oid namespace_oid, Oid role, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, namespace_oid, role, mode);
#else
	return pg_namespace_aclcheck(namespace_oid, role, mode);
#endif
}

/* Splits a possibly qualified, possibly quoted name; raises 42602 for a malformed one. */
static inline List *
QualifiedNameList(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

#endif							/* PRODUCT_UPSERT_COMPAT_H */
