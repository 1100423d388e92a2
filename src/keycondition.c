/*
 * keycondition.c
 *		The condition of a statement that a row has a certain key.
 *
 * It is built as an expression, by OIDs. In text, an operator or a function has a name,
 * and whoever may create one of the same name in its schema could have his own called
 * instead.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "keycondition.h"
#include "keyindex.h"

/* A column of the statement's first relation. */
Expr *
ColumnValue(TupleDesc desc, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, attnum - 1);

	return (Expr *) makeVar(1, attnum, attribute->atttypid, attribute->atttypmod,
							attribute->attcollation, 0);
}

/* Returns the value of a statement's parameter. */
Expr *
ParameterValue(int number, Oid type, Oid collation)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = number;
	param->paramtype = type;
	param->paramtypmod = -1;
	param->paramcollid = collation;
	param->location = -1;
	return (Expr *) param;
}

/* A value of a domain is compared as one of its base type, one of varchar as text. */
static Expr *
AsOperand(Expr *value, Oid input, Oid collation)
{
	Oid			type = exprType((Node *) value);

	if (IsPolymorphicType(input) || input == RECORDOID)
		input = getBaseType(type);
	if (input == type)
		return value;
	return (Expr *) makeRelabelType(value, input, -1, collation, COERCE_IMPLICIT_CAST);
}

/* column = $n, by the key's own equality and collation */
static Expr *
MatchColumn(const Target *target, const KeyColumn *key, int parameter)
{
	Expr	   *column = ColumnValue(target->desc, key->column->attnum);
	Expr	   *value = ParameterValue(parameter, key->column->type, key->collation);
	Expr	   *match;
	Oid			left;
	Oid			right;

	op_input_types(key->eq_operator, &left, &right);
	match = make_opclause(key->eq_operator, BOOLOID, false,
						  AsOperand(column, left, key->collation),
						  AsOperand(value, right, key->collation),
						  InvalidOid, key->collation);
	set_opfuncid((OpExpr *) match);
	return match;
}

/* A composite value of NULLs is not meant. */
static Expr *
MatchNull(const Target *target, const KeyColumn *key)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = ColumnValue(target->desc, key->column->attnum);
	test->nulltesttype = IS_NULL;
	test->argisrow = false;
	test->location = -1;
	return (Expr *) test;
}

static List *
MatchColumns(const Target *target, const Bitmapset *null_columns, int *parameter)
{
	List	   *matches = NIL;

	for (int i = 0; i < target->nkey_columns; i++)
	{
		const KeyColumn *key = &target->keys[i];

		if (bms_is_member(key->column->attnum, null_columns))
			matches = lappend(matches, MatchNull(target, key));
		else
			matches = lappend(matches, MatchColumn(target, key, (*parameter)++));
	}
	return matches;
}

/* product_upsert_hash(brand, ...) = $n, the former as the index has it */
static Expr *
MatchHash(const Target *target, int parameter)
{
	Oid			equality = get_opfamily_member(INTEGER_BTREE_FAM_OID, INT8OID, INT8OID,
											   BTEqualStrategyNumber);
	Expr	   *match;

	match = make_opclause(equality, BOOLOID, false, target->key_index->hash,
						  ParameterValue(parameter, INT8OID, InvalidOid), InvalidOid, InvalidOid);
	set_opfuncid((OpExpr *) match);
	return match;
}

/*
 * Returns the condition that a row has a key with NULLs in these columns, and the values of
 * parameters in the others: the first of them has the given number.
 */
Expr *
KeyCondition(const Target *target, const Bitmapset *null_columns, int parameter)
{
	return make_ands_explicit(MatchColumns(target, null_columns, &parameter));
}

/*
 * The same, and that the row counts, and if an index has the hash of the key, that it has the hash in one
 * more parameter.
 */
Expr *
LookupCondition(const Target *target, const Bitmapset *null_columns, int parameter)
{
	List	   *matches = MatchColumns(target, null_columns, &parameter);

	if (IsKeyIndexOnHash(target))
		matches = lappend(matches, MatchHash(target, parameter));
	if (target->condition.source)
		matches = lappend(matches, target->condition.source);
	return make_ands_explicit(matches);
}
