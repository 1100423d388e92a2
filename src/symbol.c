/*
 * symbol.c
 *		Which of the extension's functions is a function in SQL?
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "symbol.h"

/* Is the function the one in C that has this name there, whatever schema the extension is in? */
bool
HasSymbol(Oid function, const char *symbol)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		source;
	bool		isnull;
	bool		has_symbol;

	if (!HeapTupleIsValid(tuple))
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	has_symbol = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
		!isnull && strcmp(TextDatumGetCString(source), symbol) == 0;
	ReleaseSysCache(tuple);
	return has_symbol;
}

/*
 * Returns the function in C that has this name there, among those of the extension that the
 * given function belongs to. No name in SQL has a say in that, whoever may create functions
 * in the extension's schema, and whatever that is called by now.
 */
Oid
FindSibling(Oid function, const char *symbol)
{
	Oid			extension = getExtensionOfObject(ProcedureRelationId, function);
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	Oid			sibling = InvalidOid;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	while (!OidIsValid(sibling) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend member = (Form_pg_depend) GETSTRUCT(tuple);

		if (member->deptype == DEPENDENCY_EXTENSION && member->classid == ProcedureRelationId &&
			HasSymbol(member->objid, symbol))
			sibling = member->objid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	if (!OidIsValid(sibling))
		elog(ERROR, "the extension of function %u has no function %s", function, symbol);
	return sibling;
}
