/*
 * reference.c
 *		The foreign keys that reference the rows of a table that is merged.
 *
 * Listed are those by which a row may be referenced: also through a table that its own
 * is a partition of, or through one of its partitions or children; not those that
 * PostgreSQL derives from one of them for partitions. The lock on the table keeps others
 * from being added until the transaction ends. Conditions are expressions, built with the
 * foreign keys' own operators.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "keycondition.h"
#include "merge_sql.h"
#include "reference.h"
#include "reference_index.h"
#include "table.h"

/* -- finding them ------------------------------------------------------------- */

static void
RejectPeriod(const MergedTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot merge rows of table \"%s\"", table->name),
			 errdetail("A foreign key references it for a period of time."),
			 errtable(table->rel)));
}

/* A child of a table that is not partitioned may have columns of its own. */
static void
RejectOwnColumn(const Reference *reference)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot merge rows of table \"%s\"", reference->table->name),
			 errdetail("Table \"%s\" references table \"%s\" by a column that only that has.",
					   reference->name, QualifiedName(reference->referenced)),
			 errhint("Merge the rows of that table by itself."),
			 errtable(reference->table->rel)));
}

/* Without a name to know them by, rows that reference one another are lost sight of. */
static void
RejectNameless(const MergedTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot merge rows of table \"%s\"", table->name),
			 errdetail("It references itself, and has no primary key or other unique constraint without"
					   " nulls."),
			 errtable(table->rel)));
}

/* Time periods cannot be repointed. */
static Reference *
ReferenceFromTuple(MergedTable *table, HeapTuple tuple)
{
	const FormData_pg_constraint *constraint = (Form_pg_constraint) GETSTRUCT(tuple);
	Reference  *reference = palloc0(sizeof(Reference));

	if (HasPeriod(constraint))
		RejectPeriod(table);
	reference->table = table;
	reference->constraint = constraint->oid;
	reference->child = constraint->conrelid;
	reference->referenced = constraint->confrelid;
	reference->name = QualifiedName(reference->child);
	if (reference->child == table->target->relid && reference->referenced == table->target->relid &&
		table->identity == NIL)
		RejectNameless(table);
	DeconstructFkConstraintRow(tuple, &reference->ncolumns, reference->child_columns, reference->columns,
							   reference->operators, NULL, NULL, NULL, NULL);
	return reference;
}

/* By name, so that all merges lock the children in the same order. */
static int
CompareReferences(const ListCell *a, const ListCell *b)
{
	const Reference *reference1 = lfirst(a);
	const Reference *reference2 = lfirst(b);
	int			order = strcmp(reference1->name, reference2->name);

	if (order == 0)
		return reference1->constraint < reference2->constraint ? -1 : 1;
	return order;
}

/* Reads the foreign keys that reference one of the tables. */
static List *
ListReferences(MergedTable *table, const List *referenced)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	List	   *references = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_contype, BTEqualStrategyNumber, F_CHAREQ,
				CharGetDatum(CONSTRAINT_FOREIGN));
	scan = systable_beginscan(constraints, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		const FormData_pg_constraint *constraint = (Form_pg_constraint) GETSTRUCT(tuple);

		if (!OidIsValid(constraint->conparentid) && list_member_oid(referenced, constraint->confrelid))
			references = lappend(references, ReferenceFromTuple(table, tuple));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	list_sort(references, CompareReferences);
	return references;
}

/* The columns that it references are numbered as those of our table, whose rows we have. */
static void
TranslateColumns(Reference *reference)
{
	for (int i = 0; i < reference->ncolumns; i++)
	{
		const char *name = get_attname(reference->referenced, reference->columns[i], false);

		reference->columns[i] = get_attnum(reference->table->target->relid, name);
		if (reference->columns[i] == InvalidAttrNumber)
			RejectOwnColumn(reference);
	}
}

static Oid
PartitionRoot(Relation rel)
{
	if (!rel->rd_rel->relispartition)
		return RelationGetRelid(rel);
	return llast_oid(get_partition_ancestors(RelationGetRelid(rel)));
}

/* Looks at the child, which is locked against changes from here on. */
static void
DescribeChild(Reference *reference, Relation child)
{
	reference->name = QualifiedName(reference->child);
	reference->partitioned = child->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	reference->in_same_tree = PartitionRoot(child) == reference->table->root;
	for (int i = 0; i < reference->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(child), reference->child_columns[i] - 1);

		reference->read_only |= column->attgenerated != '\0' ||
			column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	}
}

/* -- the condition ------------------------------------------------------------ */

/* A column is compared as what the operator takes: a domain as its base type, a varchar as text. */
static Expr *
AsOperand(Expr *value, Oid input)
{
	Oid			type = exprType((Node *) value);

	if (IsPolymorphicType(input) || input == RECORDOID)
		input = getBaseType(type);
	value = (Expr *) coerce_to_target_type(NULL, (Node *) value, type, input, -1,
										   COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	if (value == NULL)
		elog(ERROR, "type %u cannot be compared as type %u", type, input);
	assign_expr_collations(NULL, (Node *) value);
	return value;
}

/* $n = product AND ...: under the referenced column's collation, as the foreign key itself has it */
static Expr *
ReferenceCondition(const Reference *reference, TupleDesc desc, const AttrNumber *columns, int parameter)
{
	TupleDesc	referenced = reference->table->target->desc;
	List	   *matches = NIL;

	for (int i = 0; i < reference->ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(referenced, reference->columns[i] - 1);
		Expr	   *value = ParameterValue(parameter + i, attribute->atttypid, attribute->attcollation);
		Oid			left;
		Oid			right;
		Expr	   *match;

		op_input_types(reference->operators[i], &left, &right);
		match = make_opclause(reference->operators[i], BOOLOID, false, AsOperand(value, left),
							  AsOperand(ColumnValue(desc, columns[i]), right),
							  InvalidOid, attribute->attcollation);
		set_opfuncid((OpExpr *) match);
		matches = lappend(matches, match);
	}
	return make_ands_explicit(matches);
}

static void
AddReferenced(Arguments *arguments, const Reference *reference, const MergedRow *row)
{
	for (int i = 0; i < reference->ncolumns; i++)
	{
		AttrNumber	attnum = reference->columns[i];

		AddArgument(arguments, TupleDescAttr(reference->table->target->desc, attnum - 1)->atttypid,
					row->values[attnum - 1], false);
	}
}

/* Can the row be referenced at all: is it in one of the tables, and not null in a referenced column? */
static bool
CanBeReferenced(const Reference *reference, const MergedRow *row)
{
	for (int i = 0; i < reference->ncolumns; i++)
	{
		if (row->isnull[reference->columns[i] - 1])
			return false;
	}
	return list_member_oid(reference->tables, row->table);
}

/* -- its statements ----------------------------------------------------------- */

/* The children of a table that is not partitioned have no foreign key of their parent's. */
static const char *
OnlyClause(const Reference *reference)
{
	return reference->partitioned ? "" : "ONLY ";
}

/* SELECT c.product, ... FROM child c: $1 = c.product ... */
static PreparedSql *
PrepareFind(const Reference *reference, Relation child)
{
	StringInfoData text;
	CheckedSql	sql = {.relations = list_make1_oid(reference->child)};
	MergedRow	none = {.values = palloc0(reference->table->target->desc->natts * sizeof(Datum))};
	Arguments  *arguments = MakeArguments(reference->ncolumns);

	initStringInfo(&text);
	appendStringInfoString(&text, "SELECT ");
	for (int i = 0; i < reference->ncolumns; i++)
		appendStringInfo(&text, "%sc.%s", i > 0 ? ", " : "",
						 quote_identifier(get_attname(reference->child, reference->child_columns[i], false)));
	appendStringInfo(&text, " FROM %s%s c", OnlyClause(reference), reference->name);
	sql.text = text.data;
	sql.condition = ReferenceCondition(reference, RelationGetDescr(child), reference->child_columns, 1);
	AddReferenced(arguments, reference, &none);
	return PrepareSql(&sql, arguments, 0);
}

/* UPDATE child c SET product = $1, ...: $n = c.product ... */
static PreparedSql *
PrepareMove(const Reference *reference, const Arguments *arguments)
{
	Relation	child = table_open(reference->child, NoLock);
	StringInfoData text;
	CheckedSql	sql = {.relations = list_make1_oid(reference->child)};

	initStringInfo(&text);
	appendStringInfo(&text, "UPDATE %s%s c SET ", OnlyClause(reference), reference->name);
	for (int i = 0; i < reference->ncolumns; i++)
		appendStringInfo(&text, "%s%s = $%d", i > 0 ? ", " : "",
						 quote_identifier(get_attname(reference->child, reference->child_columns[i], false)),
						 i + 1);
	sql.text = text.data;
	sql.condition = ReferenceCondition(reference, RelationGetDescr(child), reference->child_columns,
									   reference->ncolumns + 1);
	table_close(child, NoLock);
	return PrepareSql(&sql, arguments, 0);
}

/* -- the list ----------------------------------------------------------------- */

/* Locks the child against changes, and makes ready to find the rows by which it references ours. */
static void
OpenReference(Reference *reference)
{
	List	   *tables;
	Relation	child;

	CheckMayRead(reference->child);
	tables = LockTreeUntilEnd(reference->child, AccessShareLock);
	child = table_open(reference->child, NoLock);
	reference->tables = list_make1_oid(reference->referenced);
	if (get_rel_relkind(reference->referenced) == RELKIND_PARTITIONED_TABLE)
		reference->tables = find_all_inheritors(reference->referenced, NoLock, NULL);
	TranslateColumns(reference);
	DescribeChild(reference, child);
	reference->find = PrepareFind(reference, child);
	TellOfMissingIndex(reference, child, reference->partitioned ? tables : list_make1_oid(reference->child));
	table_close(child, NoLock);
}

/*
 * Returns the foreign keys that reference the table's rows, as a list of Reference. The caller
 * has locked the table, and is connected to SPI for as long as the list is used.
 */
List *
FindReferences(MergedTable *table)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);
	List	   *referenced = list_copy(table->tables);
	List	   *references;
	ListCell   *cell;

	if (table->rel->rd_rel->relispartition)
		referenced = list_concat(referenced, get_partition_ancestors(RelationGetRelid(table->rel)));
	references = ListReferences(table, referenced);
	foreach(cell, references)
		OpenReference(lfirst(cell));
	MemoryContextSwitchTo(caller);
	return references;
}

/* -- repointing --------------------------------------------------------------- */

static bool
IsReferenced(const Reference *reference, const MergedRow *row)
{
	Arguments  *arguments;
	bool		found;

	if (!CanBeReferenced(reference, row))
		return false;
	arguments = MakeArguments(reference->ncolumns);
	AddReferenced(arguments, reference, row);
	found = ExecuteSql(reference->find, arguments, 1) > 0;
	SPI_freetuptable(SPI_tuptable);
	return found;
}

static void
RequireMovable(const Reference *reference, const MergedRow *kept)
{
	const MergedTable *table = reference->table;

	if (reference->read_only)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot merge rows of table \"%s\"", table->name),
				 errdetail("Table \"%s\" references them by a column that is always generated.",
						   reference->name),
				 errtable(table->rel)));
	if (!CanBeReferenced(reference, kept))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot merge rows of table \"%s\"", table->name),
				 errdetail("Table \"%s\" cannot reference the row to be kept, as it is in another partition,"
						   " or null in a referenced column.", reference->name),
				 errtable(table->rel)));
}

/* The child's own constraint is broken: says what came of that. */
static void
ReportBroken(const Reference *reference, const ErrorData *error)
{
	const char *constraint = error->constraint_name ? error->constraint_name : "";

	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("cannot merge rows of table \"%s\"", reference->table->name),
			 errdetail("Rows of table \"%s\" that reference them would break its constraint \"%s\": %s",
					   reference->name, constraint, error->detail ? error->detail : ""),
			 errhint("Make those rows one, or delete what is not needed of them, and merge again."),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint)));
}

/* Executes the update of a child's rows, and returns the number of rows. */
static uint64
ExecuteMove(const Reference *reference, const Arguments *arguments)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile uint64 moved = 0;

	/* Nothing is caught: the error goes on, in other words. */
	PG_TRY();
	{
		moved = ExecuteSql(reference->move, arguments, 0);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION && error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION)
			PG_RE_THROW();
		FlushErrorState();
		ReportBroken(reference, error);
	}
	PG_END_TRY();
	return moved;
}

/* Lets all rows that reference one row reference another, and returns their number. */
static uint64
MoveReferences(Reference *reference, const MergedRow *from, const MergedRow *to)
{
	Arguments  *arguments = MakeArguments(2 * reference->ncolumns);

	AddReferenced(arguments, reference, to);
	AddReferenced(arguments, reference, from);
	if (!reference->locked)
		LockTreeUntilEnd(reference->child, RowExclusiveLock);
	reference->locked = true;
	if (reference->move == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(reference->table->context);

		reference->move = PrepareMove(reference, arguments);
		MemoryContextSwitchTo(caller);
	}
	return ExecuteMove(reference, arguments);
}

static void
ReportLost(const Reference *reference)
{
	const MergedTable *table = reference->table;

	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("cannot merge rows of table \"%s\"", table->name),
			 errdetail("When rows of table \"%s\" were updated, one of the rows to be merged got another key"
					   " or, with no primary key, another place.", reference->name),
			 errtable(table->rel)));
}

/*
 * Lets those that reference one of the other rows by the foreign key reference the first, adds
 * their number, and returns whether there were any. Rows of the table that reference one another
 * are moved by that, and triggers may write to them.
 */
static bool
RepointReference(Reference *reference, RowGroup *group, int64 *moved)
{
	bool		referenced = false;

	for (int i = 1; i < group->nrows; i++)
	{
		if (!IsReferenced(reference, &group->rows[i]))
			continue;
		RequireMovable(reference, &group->rows[0]);
		referenced = true;
		*moved += MoveReferences(reference, &group->rows[i], &group->rows[0]);
	}
	if (referenced && !ReadGroupAgain(group))
		ReportLost(reference);
	return referenced;
}

/*
 * A trigger may have kept a row as it was, or let another reference one of those that go. To
 * delete that one could delete the row, too.
 */
static void
RequireUnreferenced(const Reference *reference, const RowGroup *group)
{
	const MergedTable *table = reference->table;

	for (int i = 1; i < group->nrows; i++)
	{
		if (IsReferenced(reference, &group->rows[i]))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("cannot merge rows of table \"%s\"", table->name),
					 errdetail("A trigger of table \"%s\" keeps rows from referencing another row.",
							   reference->name),
					 errtable(table->rel)));
	}
}

/* Lets all that reference one of the other rows reference the first, and returns how many did. */
int64
RepointReferences(List *references, RowGroup *group)
{
	bool		any_referenced = false;
	int64		moved = 0;
	ListCell   *cell;

	foreach(cell, references)
		any_referenced |= RepointReference(lfirst(cell), group, &moved);
	if (any_referenced)
	{
		foreach(cell, references)
			RequireUnreferenced(lfirst(cell), group);
	}
	return moved;
}

/* -- loops -------------------------------------------------------------------- */

/* The foreign key's columns as our own table has them. */
static void
OwnColumns(const Reference *reference, AttrNumber *columns)
{
	for (int i = 0; i < reference->ncolumns; i++)
		columns[i] = get_attnum(reference->table->target->relid,
								get_attname(reference->child, reference->child_columns[i], false));
}

static ParamListInfo
ReferencedParameters(const Reference *reference, const MergedRow *row)
{
	Arguments  *arguments = MakeArguments(reference->ncolumns);
	ParamListInfo parameters = makeParamList(reference->ncolumns);

	AddReferenced(arguments, reference, row);
	for (int i = 0; i < reference->ncolumns; i++)
	{
		parameters->params[i].value = arguments->values[i];
		parameters->params[i].isnull = false;
		parameters->params[i].pflags = 0;
		parameters->params[i].ptype = arguments->types[i];
	}
	return parameters;
}

/* Does a row of our own table reference itself by the foreign key, which has these of its columns? */
static bool
ReferencesItself(const Reference *reference, const AttrNumber *columns, const MergedRow *row)
{
	TupleDesc	desc = reference->table->target->desc;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ExprContext *context = CreateStandaloneExprContext();
	ExprState  *condition;
	bool		isnull;
	bool		holds;

	memcpy(slot->tts_values, row->values, desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->isnull, desc->natts * sizeof(bool));
	context->ecxt_scantuple = ExecStoreVirtualTuple(slot);
	context->ecxt_param_list_info = ReferencedParameters(reference, row);
	condition = ExecInitExprWithParams(expression_planner(ReferenceCondition(reference, desc, columns, 1)),
									   context->ecxt_param_list_info);
	holds = DatumGetBool(ExecEvalExprSwitchContext(condition, context, &isnull));
	FreeExprContext(context, true);
	ExecDropSingleTupleTableSlot(slot);
	return holds && !isnull;
}

/*
 * Returns those of the columns with which the kept row can be filled in. A row that one of its
 * duplicates was below in a tree is not to be below itself now.
 */
Bitmapset *
LeaveOutLoops(List *references, const RowGroup *group, Bitmapset *columns)
{
	ListCell   *cell;

	foreach(cell, references)
	{
		const Reference *reference = lfirst(cell);
		AttrNumber	own[INDEX_MAX_KEYS];
		Bitmapset  *filled = NULL;
		MergedRow	row;

		if (!reference->in_same_tree)
			continue;
		OwnColumns(reference, own);
		for (int i = 0; i < reference->ncolumns; i++)
			filled = bms_add_member(filled, own[i]);
		row = FilledRow(group, columns);
		if (bms_overlap(filled, columns) && CanBeReferenced(reference, &row) &&
			ReferencesItself(reference, own, &row))
			columns = bms_del_members(columns, filled);
	}
	return columns;
}
