-- complain if the script is sourced in psql rather than through CREATE EXTENSION
\echo Use "CREATE EXTENSION product_upsert" to load this file. \quit

CREATE FUNCTION product_upsert(jsonb) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(jsonb) IS
	'create or update a row, or an array of rows, of the table named by product_upsert.table';

CREATE FUNCTION product_upsert(target regclass, payload jsonb, if_match jsonb DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert_target'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(regclass, jsonb, jsonb) IS
	'create or update a row, or an array of rows, of a table';

CREATE FUNCTION product_upsert_from(source regclass, target regclass DEFAULT NULL,
									OUT created bigint, OUT updated bigint, OUT unchanged bigint)
	AS 'MODULE_PATHNAME', 'product_upsert_from'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_from(regclass, regclass) IS
	'create or update a row of a table for every row of another table or view';

CREATE FUNCTION product_upsert_lock(target regclass, payload jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_lock'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lock(regclass, jsonb) IS
	'take the lock under which product_upsert writes a key, until the transaction ends';

CREATE FUNCTION product_upsert_guard() RETURNS trigger
	AS 'MODULE_PATHNAME', 'product_upsert_guard'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_guard() IS
	'trigger that keeps every writer from giving a row the key of another; its arguments are the key''s columns';

CREATE FUNCTION product_upsert_hash(VARIADIC "any") RETURNS bigint
	AS 'MODULE_PATHNAME', 'product_upsert_hash'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION product_upsert_hash("any") IS
	'hash of a key''s values, for an index on the hash of a table''s key columns';

CREATE FUNCTION product_upsert_key(target regclass) RETURNS name[]
	AS 'MODULE_PATHNAME', 'product_upsert_key'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_key(regclass) IS
	'columns of a table''s key, as its guard declares them or by default';

CREATE FUNCTION product_upsert_lookup_index(target regclass) RETURNS regclass
	AS 'MODULE_PATHNAME', 'product_upsert_lookup_index'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lookup_index(regclass) IS
	'index by which a table''s rows are looked up by key, or null';

CREATE FUNCTION product_upsert_same_key(target regclass, key text[]) RETURNS text
	AS 'MODULE_PATHNAME', 'product_upsert_same_key'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_same_key(regclass, text[]) IS
	'for product_upsert_merge: condition in SQL that row t has the key whose values these are texts of';

CREATE FUNCTION product_upsert_lock_key(target regclass, key text[]) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_lock_key'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lock_key(regclass, text[]) IS
	'for product_upsert_merge: take the lock on the key whose values these are texts of, until the transaction ends';

CREATE FUNCTION product_upsert_check_protectable(target regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_check_protectable'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_check_protectable(regclass) IS
	'for product_upsert_protect: raise an error if another extension keeps a table''s rows elsewhere';

-- A partition's guard comes and goes with that of the partitioned table.
CREATE FUNCTION product_upsert_check_unprotected_above(target regclass) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_trigger t
				WHERE t.tgrelid = target AND t.tgfoid = '@extschema@.product_upsert_guard'::regproc AND t.tgparentid <> 0) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
			MESSAGE = format('table "%s" is protected as a partition', target),
			HINT = 'Protect or unprotect the table that it is a partition of.';
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_check_unprotected_above(regclass) IS
	'for product_upsert_protect: raise an error if a table is protected as a partition of another';

-- A guard with the same arguments is replaced by that of the partitioned table, or does no harm beside it.
CREATE FUNCTION product_upsert_check_partitions(target regclass, arguments bytea) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other record;
BEGIN
	IF EXISTS (SELECT FROM pg_partition_tree(target) p JOIN pg_class c ON c.oid = p.relid WHERE c.relkind = 'f') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('cannot protect table "%s"', target),
			DETAIL = 'It has a partition that is a foreign table.';
	END IF;
	SELECT t.tgrelid::regclass AS relation, t.tgname INTO other
	  FROM pg_partition_tree(target) p
		   JOIN pg_trigger t ON t.tgrelid = p.relid
	 WHERE p.relid <> target AND t.tgfoid = '@extschema@.product_upsert_guard'::regproc AND t.tgparentid = 0
	   AND t.tgargs <> arguments
	 ORDER BY p.relid::text, t.tgname
	 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_object_definition',
			MESSAGE = format('cannot protect table "%s"', target),
			DETAIL = format('Its partition "%s" is protected with another key.', other.relation),
			HINT = format('Unprotect the partition, or drop its trigger "%s".', other.tgname);
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_check_partitions(regclass, bytea) IS
	'for product_upsert_protect: raise an error if a partition keeps the table from being protected with a key';

-- Creates the guard and, if none fits, an index by which a whole key is found. What is there already
-- stays as it is: with nothing to do, no writer is kept waiting.
CREATE FUNCTION product_upsert_protect(target regclass,
									   VARIADIC key name[] DEFAULT '{brand,serial,manufacturer}',
									   OUT lookup_index regclass, OUT duplicate_keys bigint)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET row_security = off
AS $$
DECLARE
	missing name;
	columns text;
	arguments bytea;
	other record;
	guard name;
	is_same boolean := false;
	is_off boolean := false;
BEGIN
	IF target IS NULL OR key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = CASE WHEN target IS NULL THEN 'target' ELSE 'key' END || ' must not be null';
	END IF;
	PERFORM @extschema@.product_upsert_check_protectable(target);
	IF cardinality(key) NOT BETWEEN 1 AND 32 OR array_position(key, NULL) IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a key has 1 to 32 columns';
	END IF;
	IF (SELECT count(DISTINCT k) FROM unnest(key) AS k) < cardinality(key) THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_column', MESSAGE = 'a column is in the key more than once';
	END IF;
	SELECT k INTO missing
	  FROM unnest(key) WITH ORDINALITY AS u (k, n)
	 WHERE NOT EXISTS (SELECT FROM pg_attribute a
						WHERE a.attrelid = target AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped)
	 ORDER BY n
	 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column',
			MESSAGE = format('key column "%s" of relation "%s" does not exist', missing, target);
	END IF;

	-- In pg_trigger, a zero byte ends each argument.
	SELECT string_agg(convert_to(k, getdatabaseencoding()) || decode('00', 'hex'), '' ORDER BY n) INTO arguments
	  FROM unnest(key) WITH ORDINALITY AS u (k, n);
	PERFORM @extschema@.product_upsert_check_partitions(target, arguments);

	-- Counted before anything is locked, as it may take a while.
	SELECT string_agg(format('t.%I', k), ', ' ORDER BY n) INTO columns
	  FROM unnest(key) WITH ORDINALITY AS u (k, n);
	EXECUTE format('SELECT count(*) FROM (SELECT FROM %s t GROUP BY %s HAVING count(*) > 1) AS d', target, columns)
	   INTO duplicate_keys;

	-- What there is of guards: one that does what ours would do can stay. In pg_trigger, 21 stands for a row's
	-- trigger after insert or update.
	PERFORM @extschema@.product_upsert_check_unprotected_above(target);
	FOR other IN
		SELECT t.tgname, t.tgconstraint <> 0 AS is_constraint, t.tgenabled IN ('D', 'R') AS is_off,
			   t.tgargs = arguments AND t.tgtype = 21 AND t.tgattr = '' AND t.tgqual IS NULL AS is_same
		  FROM pg_trigger t
		 WHERE t.tgrelid = target AND t.tgfoid = '@extschema@.product_upsert_guard'::regproc
		 ORDER BY 4 DESC, t.tgname
	LOOP
		IF guard IS NULL AND (other.is_same OR NOT other.is_constraint) THEN
			guard := other.tgname;
			is_same := other.is_same;
			is_off := other.is_off;
		ELSE
			EXECUTE format('DROP TRIGGER %I ON %s', other.tgname, target);
		END IF;
	END LOOP;
	IF NOT is_same THEN
		EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER INSERT OR UPDATE ON %s'
					   ' FOR EACH ROW EXECUTE FUNCTION @extschema@.product_upsert_guard(%s)',
					   coalesce(guard, 'product_upsert_guard'), target,
					   (SELECT string_agg(quote_literal(k), ', ' ORDER BY n)
						  FROM unnest(key) WITH ORDINALITY AS u (k, n)));
	END IF;
	IF is_off THEN
		EXECUTE format('ALTER TABLE %s ENABLE TRIGGER %I', target, guard);
	END IF;

	lookup_index := @extschema@.product_upsert_lookup_index(target);
	IF lookup_index IS NULL THEN
		SELECT string_agg(format('%I', k), ', ' ORDER BY n) INTO columns
		  FROM unnest(key) WITH ORDINALITY AS u (k, n);
		EXECUTE format('CREATE INDEX ON %s (@extschema@.product_upsert_hash(%s))', target, columns);
		lookup_index := @extschema@.product_upsert_lookup_index(target);
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_protect(regclass, name[]) IS
	'declare a table''s key, and keep every writer from duplicating it';

CREATE FUNCTION product_upsert_unprotect(target regclass) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	guard name;
BEGIN
	IF target IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'target must not be null';
	END IF;
	PERFORM @extschema@.product_upsert_check_unprotected_above(target);
	FOR guard IN
		SELECT t.tgname FROM pg_trigger t
		 WHERE t.tgrelid = target AND t.tgfoid = '@extschema@.product_upsert_guard'::regproc
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', guard, target);
	END LOOP;
END
$$;

COMMENT ON FUNCTION product_upsert_unprotect(regclass) IS
	'drop what product_upsert_protect created, except for the index';

-- The columns that identify a row: those of the primary key or, failing that, of another unique
-- constraint without nulls. Null if there are none, or if they do so in only one of several tables.
CREATE FUNCTION product_upsert_identity(target regclass) RETURNS name[]
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(a.attname ORDER BY k.n)
	  FROM pg_index i
		   JOIN pg_class c ON c.oid = i.indrelid
		   CROSS JOIN unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
		   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
	 WHERE i.indrelid = target AND i.indisunique AND i.indimmediate AND i.indisvalid
	   AND i.indpred IS NULL AND i.indexprs IS NULL
	   AND NOT (c.relkind = 'r' AND c.relhassubclass)
	 GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts
	HAVING bool_and(a.attnotnull)
	 ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
	 LIMIT 1
$$;

COMMENT ON FUNCTION product_upsert_identity(regclass) IS
	'for product_upsert_duplicates and product_upsert_merge: columns that identify a row of a table, or null';

CREATE FUNCTION product_upsert_duplicates(target regclass)
	RETURNS TABLE (key jsonb, copies bigint, rows jsonb)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET row_security = off
AS $$
DECLARE
	key_columns name[] := @extschema@.product_upsert_key(target);
	identity name[] := @extschema@.product_upsert_identity(target);
	row_name text;
	row_order text;
BEGIN
	SELECT CASE count(*) WHEN 0 THEN 'jsonb_build_object(''table'', t.tableoid::regclass, ''ctid'', t.ctid)'
						 WHEN 1 THEN format('to_jsonb(t.%I)', identity[1])
						 ELSE format('jsonb_build_object(%s)', string_agg(format('%L, t.%I', c, c), ', ' ORDER BY n)) END,
		   coalesce(string_agg(format('t.%I', c), ', ' ORDER BY n), 't.tableoid, t.ctid')
	  INTO row_name, row_order
	  FROM unnest(identity) WITH ORDINALITY AS u (c, n);
	RETURN QUERY EXECUTE (
		SELECT format('SELECT jsonb_build_object(%s), count(*), jsonb_agg(%s ORDER BY %s)'
					  '  FROM %s t GROUP BY %s HAVING count(*) > 1',
					  string_agg(format('%L, t.%I', k, k), ', ' ORDER BY n), row_name, row_order, target,
					  string_agg(format('t.%I', k), ', ' ORDER BY n))
		  FROM unnest(key_columns) WITH ORDINALITY AS u (k, n));
END
$$;

COMMENT ON FUNCTION product_upsert_duplicates(regclass) IS
	'keys that more than one row of a table has, and what identifies those rows, oldest first';

CREATE FUNCTION product_upsert_cannot_merge(target regclass, sqlstate text, detail text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = $2, MESSAGE = format('cannot merge rows of table "%s"', target), DETAIL = detail;
END
$$;

COMMENT ON FUNCTION product_upsert_cannot_merge(regclass, text, text) IS
	'for product_upsert_merge: raise an error';

CREATE FUNCTION product_upsert_check_merge(target regclass, keep text, dry_run boolean, max_keys integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- It raises an error if the target is no table, or has no such columns.
	PERFORM @extschema@.product_upsert_key(target);
	IF keep IS NULL OR keep NOT IN ('oldest', 'newest') OR dry_run IS NULL OR max_keys < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN keep IN ('oldest', 'newest') IS NOT TRUE THEN 'keep must be "oldest" or "newest"'
						   WHEN dry_run IS NULL THEN 'dry_run must be true or false'
						   ELSE 'max_keys must be at least 1' END;
	END IF;
	-- An older snapshot would not show all the rows of a group.
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
			MESSAGE = 'product_upsert_merge() must run at READ COMMITTED';
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_check_merge(regclass, text, boolean, integer) IS
	'for product_upsert_merge: raise an error if it cannot be called like this';

CREATE FUNCTION product_upsert_check_references(target regclass) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Time periods cannot be repointed: PostgreSQL 18 has foreign keys that end with one.
	IF EXISTS (SELECT FROM pg_constraint f
				WHERE f.contype = 'f' AND f.confrelid = target AND (to_jsonb(f) -> 'conperiod') = 'true') THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'feature_not_supported',
			'A foreign key references it for a period of time.');
	END IF;
	IF @extschema@.product_upsert_identity(target) IS NULL AND
	   EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = target AND f.confrelid = target) THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'feature_not_supported',
			'It references itself, and has no primary key or other unique constraint without nulls.');
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_check_references(regclass) IS
	'for product_upsert_merge: raise an error if a foreign key keeps rows of a table from being merged';

CREATE FUNCTION product_upsert_duplicate_keys(target regclass, max_keys integer) RETURNS text
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT ARRAY[%s] FROM (SELECT %s, row_number() OVER (PARTITION BY %s) AS n FROM %s t) AS s WHERE s.n = 2 LIMIT %s',
				  -- By its output function: a cast to text may be another.
				  string_agg(format('CASE WHEN s.k%1$s IS DISTINCT FROM NULL THEN format(''%%s'', s.k%1$s) END', n), ', ' ORDER BY n),
				  string_agg(format('t.%I AS k%s', k, n), ', ' ORDER BY n),
				  string_agg(format('t.%I', k), ', ' ORDER BY n),
				  target, coalesce(max_keys::text, 'ALL'))
	  FROM unnest(@extschema@.product_upsert_key(target)) WITH ORDINALITY AS u (k, n)
$$;

COMMENT ON FUNCTION product_upsert_duplicate_keys(regclass, integer) IS
	'for product_upsert_merge: query for the keys that more than one row of a table has, as texts of their values';

-- Keeps everybody from adding a foreign key or declaring another key, before anything is worked out from them. With
-- more keys than a transaction may lock one by one, nobody else may write to the table either: so it is locked when
-- they have been counted, as two that strengthen a lock deadlock. Returns whether there is anything to do.
CREATE FUNCTION product_upsert_lock_to_merge(target regclass, max_keys integer) RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	nkeys bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (%s) AS d', @extschema@.product_upsert_duplicate_keys(target, max_keys)) INTO nkeys;
	IF nkeys > current_setting('product_upsert.max_key_locks')::bigint THEN
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', coalesce(pg_partition_root(target), target));
	ELSIF nkeys > 0 THEN
		EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', target);
	END IF;
	RETURN nkeys > 0;
END
$$;

COMMENT ON FUNCTION product_upsert_lock_to_merge(regclass, integer) IS
	'for product_upsert_merge: lock a table as strongly as the number of keys to be merged asks for';

-- Of the rows with a key, or those of them with the names $1: the place, what identifies each, and the row. The
-- rows are locked FOR UPDATE, so that nobody else changes, deletes or begins to reference them.
CREATE FUNCTION product_upsert_rows_with_key(target regclass, key text[], row_name text, row_order text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN format('SELECT array_agg(p.tableoid), array_agg(p.ctid), array_agg(p.name), array_agg(p.content) FROM ('
				  'SELECT t.tableoid, t.ctid, %1$s AS name, to_jsonb(t.*) AS content FROM %2$s t'
				  ' WHERE %3$s AND ($1 IS NULL OR %1$s = ANY ($1)) ORDER BY %4$s FOR UPDATE) AS p',
				  row_name, target, @extschema@.product_upsert_same_key(target, key), row_order);
END
$$;

COMMENT ON FUNCTION product_upsert_rows_with_key(regclass, text[], text, text) IS
	'for product_upsert_merge: query that locks the rows of a key and returns what is known of them';

CREATE FUNCTION product_upsert_fillable(target regclass) RETURNS name[]
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(a.attname ORDER BY a.attnum), '{}')
	  FROM pg_attribute a, @extschema@.product_upsert_key(target) AS key_columns
	 WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attnotnull
	   AND a.attgenerated = '' AND a.attidentity = '' AND a.attname <> ALL (key_columns)
	   -- Nor what a column of the key is generated from.
	   AND NOT EXISTS (SELECT FROM pg_attrdef e
							  JOIN pg_attribute g ON g.attrelid = e.adrelid AND g.attnum = e.adnum
							  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
						WHERE e.adrelid = target AND g.attgenerated <> '' AND g.attname = ANY (key_columns)
						  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = target AND d.refobjsubid = a.attnum)
$$;

COMMENT ON FUNCTION product_upsert_fillable(regclass) IS
	'for product_upsert_merge: columns whose nulls are filled from other rows';

-- The foreign keys by which a row of the table may be referenced: also through a table that it is a
-- partition of, or through one of its own partitions. Those that PostgreSQL derives for partitions are
-- not listed. The statements get the places of rows, $1 and $2: is another than the first referenced, can the
-- first be, and let it be. In them, c references r, and is to reference k instead.
CREATE FUNCTION product_upsert_references(target regclass)
	RETURNS TABLE (child regclass, child_rows text, child_columns name[], is_read_only boolean, condition text,
				   is_referenced text, can_be_referenced text, repoint text)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT k.child, k.child_rows, k.child_columns, k.is_read_only, k.condition,
		   format('SELECT EXISTS (SELECT FROM %s c, %s r, unnest($1[2:], $2[2:]) AS o (tableoid, ctid)'
				  ' WHERE r.tableoid = o.tableoid AND r.ctid = o.ctid AND %s)', k.child_rows, target, k.condition),
		   format('SELECT %s FROM %s k WHERE k.tableoid = $1[1] AND k.ctid = $2[1]', k.can_be_referenced, target),
		   format('UPDATE %s c SET %s FROM %s k, %s r, unnest($1[2:], $2[2:]) AS o (tableoid, ctid)'
				  ' WHERE k.tableoid = $1[1] AND k.ctid = $2[1] AND r.tableoid = o.tableoid AND r.ctid = o.ctid AND %s',
				  k.child_rows, k.assignments, target, target, k.condition)
	  FROM (
	SELECT f.oid, f.conrelid::regclass,
		   CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END || f.conrelid::regclass,
		   array_agg(ca.attname ORDER BY u.n),
		   bool_or(ca.attgenerated <> '' OR ca.attidentity = 'a'),
		   format('r.tableoid = ANY (%L::oid[]) AND ', tables.oids)
		   || string_agg(format('r.%I OPERATOR(%I.%s) c.%I', ta.attname, s.nspname, o.oprname, ca.attname)
						 -- As the foreign key itself has it.
						 || coalesce((SELECT format(' COLLATE %I.%I', l.collnamespace::regnamespace, l.collname)
										FROM pg_collation l WHERE l.oid = ta.attcollation), ''), ' AND ' ORDER BY u.n),
		   format('k.tableoid = ANY (%L::oid[]) AND ', tables.oids)
		   || string_agg(format('k.%I IS DISTINCT FROM NULL', ta.attname), ' AND ' ORDER BY u.n),
		   string_agg(format('%I = k.%I', ca.attname, ta.attname), ', ' ORDER BY u.n)
	  FROM pg_constraint f
		   JOIN pg_class c ON c.oid = f.conrelid
		   -- Those whose rows it references: not the children of a table that is not partitioned.
		   CROSS JOIN LATERAL (SELECT array_agg(x.relid::oid)
								 FROM (SELECT f.confrelid UNION SELECT p.relid FROM pg_partition_tree(f.confrelid) AS p) AS x (relid)) AS tables (oids)
		   CROSS JOIN unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY AS u (child_column, target_column, operator, n)
		   JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = u.child_column
		   JOIN pg_attribute ta ON ta.attrelid = f.confrelid AND ta.attnum = u.target_column
		   JOIN pg_operator o ON o.oid = u.operator
		   JOIN pg_namespace s ON s.oid = o.oprnamespace
	 WHERE f.contype = 'f' AND f.conparentid = 0
	   AND f.confrelid IN (SELECT target::oid UNION ALL
						   SELECT relid FROM pg_partition_tree(target) UNION ALL
						   SELECT relid FROM pg_partition_ancestors(target))
	 GROUP BY f.oid, f.conrelid, c.relkind, tables.oids
	  ) AS k (oid, child, child_rows, child_columns, is_read_only, condition, can_be_referenced, assignments)
	 ORDER BY k.child::text, k.oid
$$;

COMMENT ON FUNCTION product_upsert_references(regclass) IS
	'for product_upsert_merge: the foreign keys that reference a table, and the statements for each of them';

-- Lets a foreign key that references one of the other rows reference the first. Rows of the table that reference
-- one another are moved by that: so the places of all are read again.
CREATE FUNCTION product_upsert_repoint(target regclass, reference jsonb, rows_with_key text, names text[],
									   INOUT tables oid[], INOUT ctids tid[], OUT moved bigint)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	child text := reference ->> 'child';
	found boolean;
	remaining text[];
	contents jsonb[];
BEGIN
	moved := 0;
	EXECUTE reference ->> 'is_referenced' INTO found USING tables, ctids;
	IF NOT found THEN
		RETURN;
	END IF;
	IF (reference -> 'is_read_only')::boolean THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'feature_not_supported',
			format('Table "%s" references them by a column that is always generated.', child));
	END IF;
	EXECUTE reference ->> 'can_be_referenced' INTO found USING tables, ctids;
	IF NOT found THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'object_not_in_prerequisite_state',
			format('Table "%s" cannot reference the row to be kept, as it is in another partition, or null in a referenced column.',
				   child));
	END IF;

	EXECUTE reference ->> 'repoint' USING tables, ctids;
	GET DIAGNOSTICS moved = ROW_COUNT;

	EXECUTE rows_with_key INTO tables, ctids, remaining, contents USING names;
	IF cardinality(remaining) IS DISTINCT FROM cardinality(names) THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'triggered_data_change_violation',
			format('When rows of table "%s" were updated, one of the rows to be merged got another key or, with no primary key, another place.',
				   child));
	END IF;
	-- A trigger may have kept a row as it was. Deleting what it references could delete it, too.
	EXECUTE reference ->> 'is_referenced' INTO found USING tables, ctids;
	IF found THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'triggered_data_change_violation',
			format('A trigger of table "%s" keeps rows from referencing another row.', child));
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_repoint(regclass, jsonb, text, text[], oid[], tid[]) IS
	'for product_upsert_merge: let a foreign key reference the first row at these places instead of the others';

-- Deletes all rows but the first, which takes over what it has no value for. Returns the columns, and what
-- identifies the row if it was written.
CREATE FUNCTION product_upsert_fill(target regclass, fillable name[], row_name text, tables oid[], ctids tid[],
									OUT filled name[], OUT kept_name text)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	same_place CONSTANT text := 't.tableoid = o.tableoid AND t.ctid = o.ctid';
BEGIN
	EXECUTE format('SELECT array_remove(ARRAY[%s]::name[], NULL)'
				   '  FROM %s t, unnest($1, $2) WITH ORDINALITY AS o (tableoid, ctid, n) WHERE %s',
				   (SELECT string_agg(format('CASE WHEN bool_or(o.n = 1 AND NOT t.%1$I IS DISTINCT FROM NULL)'
											 ' AND bool_or(t.%1$I IS DISTINCT FROM NULL) THEN %1$L END', c), ', ' ORDER BY n)
					  FROM unnest(fillable) WITH ORDINALITY AS u (c, n)), target, same_place)
	   INTO filled USING tables, ctids;

	IF filled = '{}' THEN
		EXECUTE format('DELETE FROM %s t USING unnest($1[2:], $2[2:]) AS o (tableoid, ctid) WHERE %s', target, same_place)
		  USING tables, ctids;
		RETURN;
	END IF;
	-- The other rows go first: what the kept row takes over may be unique.
	EXECUTE (SELECT format('WITH gone AS (DELETE FROM %1$s t USING unnest($1[2:], $2[2:]) WITH ORDINALITY AS o (tableoid, ctid, n)'
						   ' WHERE %2$s RETURNING o.n, %3$s)'
						   ' UPDATE %1$s t SET %4$s WHERE t.tableoid = $1[1] AND t.ctid = $2[1] RETURNING %5$s',
						   target, same_place,
						   string_agg(format('t.%I AS c%s', c, n), ', ' ORDER BY n),
						   string_agg(format('%I = (SELECT g.c%2$s FROM gone g WHERE g.c%2$s IS DISTINCT FROM NULL'
											 ' ORDER BY g.n LIMIT 1)', c, n), ', ' ORDER BY n),
						   row_name)
			   FROM unnest(filled) WITH ORDINALITY AS u (c, n))
	   INTO kept_name USING tables, ctids;
	IF kept_name IS NULL THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'triggered_data_change_violation',
			'A trigger keeps the kept row from being filled in.');
	END IF;
END
$$;

COMMENT ON FUNCTION product_upsert_fill(regclass, name[], text, oid[], tid[]) IS
	'for product_upsert_merge: delete the rows at these places but the first, which takes over their values for its nulls';

-- A row that one of its duplicates was below in a tree is not to be below itself now: what it was filled in with
-- goes again. Returns the columns that stay filled.
CREATE FUNCTION product_upsert_clear_loops(target regclass, foreign_keys jsonb, rows_with_key text, names text[],
										   INOUT filled name[])
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reference record;
	tables oid[];
	ctids tid[];
	remaining text[];
	contents jsonb[];
	cleared bigint;
BEGIN
	FOR reference IN
		SELECT * FROM jsonb_to_recordset(foreign_keys) AS f (child regclass, child_rows text, child_columns name[], condition text)
		 WHERE coalesce(pg_partition_root(f.child), f.child) = coalesce(pg_partition_root(target), target)
		   AND f.child_columns && filled
	LOOP
		EXECUTE rows_with_key INTO tables, ctids, remaining, contents USING names;
		EXECUTE format('UPDATE %s c SET %s FROM %s r WHERE c.tableoid = $1[1] AND c.ctid = $2[1]'
					   ' AND r.tableoid = $1[1] AND r.ctid = $2[1] AND %s', reference.child_rows,
					   (SELECT string_agg(format('%I = NULL', f), ', ') FROM unnest(filled) AS f WHERE f = ANY (reference.child_columns)),
					   target, reference.condition)
		  USING tables, ctids;
		GET DIAGNOSTICS cleared = ROW_COUNT;
		IF cleared > 0 THEN
			filled := ARRAY(SELECT f FROM unnest(filled) AS f WHERE f <> ALL (reference.child_columns));
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION product_upsert_clear_loops(regclass, jsonb, text, text[], name[]) IS
	'for product_upsert_merge: take a reference to itself out of the columns that a row was filled in with';

CREATE FUNCTION product_upsert_kept(target regclass, rows_with_key text, names text[]) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tables oid[];
	ctids tid[];
	remaining text[];
	contents jsonb[];
BEGIN
	EXECUTE rows_with_key INTO tables, ctids, remaining, contents USING names;
	IF remaining IS DISTINCT FROM names[1:1] THEN
		PERFORM @extschema@.product_upsert_cannot_merge(target, 'triggered_data_change_violation',
			CASE WHEN names[1] = ANY (remaining) THEN 'A trigger keeps rows from being deleted, or creates them again.'
				 ELSE 'A trigger deletes the kept row, or gives it another key or, with no primary key, another place.' END);
	END IF;
	RETURN contents[1];
END
$$;

COMMENT ON FUNCTION product_upsert_kept(regclass, text, text[]) IS
	'for product_upsert_merge: the row that is left of those with these names; raise an error if that is not the first';

-- Makes one row of all that have the same key; one key after the other, under its lock, so that nobody who
-- takes the lock writes it meanwhile.
--
-- Its rows are known by their names, and worked on by their places, (tableoid, ctid). A name is what identifies
-- the row or, if nothing does, its place. Others with the key may come meanwhile, unless the table is protected:
-- they are left alone, and are for the next merge.
CREATE FUNCTION product_upsert_merge(target regclass, keep text DEFAULT 'oldest',
									 dry_run boolean DEFAULT false, max_keys integer DEFAULT NULL)
	RETURNS TABLE (key jsonb, kept jsonb, removed jsonb, references_moved bigint, filled name[])
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET row_security = off
	-- So that the text of a value is all there is to it.
	SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD'
	SET intervalstyle = postgres
	SET xmloption = content
AS $$
#variable_conflict use_column
DECLARE
	keys_per_notice CONSTANT int := 1000;
	key_columns name[];
	foreign_keys jsonb;			-- product_upsert_references
	fillable name[];
	row_name text;				-- of row t
	row_order text;				-- the row to keep first, then the one next to it
	key_texts text[];
	rows_with_key text;
	names text[];
	tables oid[];
	ctids tid[];
	contents jsonb[];
	reference jsonb;
	repointing text;			-- the table whose rows are being repointed, if any are
	kept_name text;
	nkeys bigint := 0;
	broken name;
	reason text;
BEGIN
	PERFORM @extschema@.product_upsert_check_merge(target, keep, dry_run, max_keys);
	IF NOT @extschema@.product_upsert_lock_to_merge(target, max_keys) THEN
		RETURN;
	END IF;
	PERFORM @extschema@.product_upsert_check_references(target);
	SELECT coalesce(jsonb_agg(to_jsonb(f)), '[]') INTO foreign_keys FROM @extschema@.product_upsert_references(target) AS f;
	fillable := @extschema@.product_upsert_fillable(target);
	key_columns := @extschema@.product_upsert_key(target);
	SELECT format('ROW(%s)::text', string_agg(format('t.%I', c), ', ' ORDER BY n)),
		   string_agg(format('t.%I %s', c, CASE keep WHEN 'newest' THEN 'DESC' END), ', ' ORDER BY n)
	  INTO row_name, row_order
	  FROM unnest(coalesce(@extschema@.product_upsert_identity(target), '{tableoid,ctid}')) WITH ORDINALITY AS u (c, n);

	FOR key_texts IN EXECUTE @extschema@.product_upsert_duplicate_keys(target, max_keys) LOOP
		PERFORM @extschema@.product_upsert_lock_key(target, key_texts);
		rows_with_key := @extschema@.product_upsert_rows_with_key(target, key_texts, row_name, row_order);
		EXECUTE rows_with_key INTO tables, ctids, names, contents USING NULL::text[];
		-- While we waited for the lock, somebody else may have merged or deleted them.
		CONTINUE WHEN coalesce(cardinality(names), 0) < 2;
		key := (SELECT jsonb_object_agg(k, contents[1] -> k::text) FROM unnest(key_columns) AS k);
		removed := to_jsonb(contents[2:]);

		references_moved := 0;
		FOR reference IN SELECT jsonb_array_elements(foreign_keys) LOOP
			repointing := reference ->> 'child';
			SELECT r.tables, r.ctids, references_moved + r.moved INTO tables, ctids, references_moved
			  FROM @extschema@.product_upsert_repoint(target, reference, rows_with_key, names, tables, ctids) AS r;
		END LOOP;
		repointing := NULL;

		SELECT f.filled, f.kept_name INTO filled, kept_name
		  FROM @extschema@.product_upsert_fill(target, fillable, row_name, tables, ctids) AS f;
		names[1] := coalesce(kept_name, names[1]);
		filled := @extschema@.product_upsert_clear_loops(target, foreign_keys, rows_with_key, names, filled);

		kept := @extschema@.product_upsert_kept(target, rows_with_key, names);
		RETURN NEXT;

		nkeys := nkeys + 1;
		IF nkeys % keys_per_notice = 0 THEN
			RAISE NOTICE USING MESSAGE = format('merged the rows of %s keys of table "%s"', nkeys, target);
		END IF;
	END LOOP;

	-- Undoes all of it, except that what was returned stays returned.
	IF dry_run THEN
		RAISE EXCEPTION USING ERRCODE = 'PUDRY';
	END IF;
EXCEPTION
	WHEN SQLSTATE 'PUDRY' THEN
		RETURN;
	WHEN unique_violation OR exclusion_violation THEN
		IF repointing IS NULL THEN
			RAISE;
		END IF;
		GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME, reason = PG_EXCEPTION_DETAIL;
		RAISE EXCEPTION USING ERRCODE = SQLSTATE,
			MESSAGE = format('cannot merge rows of table "%s"', target),
			DETAIL = format('Rows of table "%s" that reference them would break its constraint "%s": %s', repointing, broken, reason),
			HINT = 'Make those rows one, or delete what is not needed of them, and merge again.',
			CONSTRAINT = broken;
END
$$;

COMMENT ON FUNCTION product_upsert_merge(regclass, text, boolean, integer) IS
	'make one row of all the rows that have the same key, and repoint what references them';

-- Key locks are advisory locks of class 20565 (KEY_LOCK_CLASS): the table's OID is in classid, the
-- key's hash in objid. A prepared transaction holds its locks without a process; the lock on its own
-- transaction ID tells which it is.
CREATE VIEW product_upsert_locks AS
WITH locks AS MATERIALIZED (
	SELECT * FROM pg_catalog.pg_locks
), prepared AS (
	SELECT l.virtualtransaction, p.gid, p.prepared
	  FROM locks l
		   JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid
	 WHERE l.pid IS NULL
)
SELECT l.classid::pg_catalog.regclass AS target,
	   l.objid::pg_catalog.int8 AS key_hash,
	   CASE WHEN l.granted THEN 'holder' ELSE 'waiter' END AS role,
	   l.pid,
	   p.gid AS prepared_transaction,
	   a.usename,
	   pg_catalog.clock_timestamp() -
	   CASE WHEN l.granted THEN COALESCE(p.prepared, a.xact_start) ELSE l.waitstart END AS duration,
	   a.query
  FROM locks l
	   LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
	   LEFT JOIN prepared p ON l.pid IS NULL AND p.virtualtransaction = l.virtualtransaction
 WHERE l.locktype = 'advisory'
   AND l.objsubid = 20565
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
					  WHERE d.datname = pg_catalog.current_database());

COMMENT ON VIEW product_upsert_locks IS
	'key locks held and waited for in this database; a holder''s duration is that of its transaction';

GRANT SELECT ON product_upsert_locks TO PUBLIC;
