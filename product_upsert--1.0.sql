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

CREATE FUNCTION product_upsert_same_key(target regclass, stored record) RETURNS text
	AS 'MODULE_PATHNAME', 'product_upsert_same_key'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_same_key(regclass, record) IS
	'for product_upsert_merge: condition in SQL that row t has the key of $1, the text of a row like stored';

CREATE FUNCTION product_upsert_lock_row(target regclass, stored record) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_lock_row'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lock_row(regclass, record) IS
	'for product_upsert_merge: take the lock on the key of a stored row, until the transaction ends';

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
		BEGIN
			EXECUTE format('CREATE INDEX ON %s (%s)', target, columns);
		EXCEPTION WHEN program_limit_exceeded OR undefined_object THEN
			RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM,
				HINT = format('First create a hash index on one of the columns, such as CREATE INDEX ON %s USING hash (%I).',
							  target, key[1]);
		END;
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

-- The foreign keys by which a row of the table may be referenced: also through a table that it is a
-- partition of, or through one of its own partitions. Those that PostgreSQL derives for partitions are
-- not listed. For a referencing row c, a referenced row r and the row k that is to be referenced instead:
-- the condition that c references r, the condition that k can be referenced, and assignments to c.
CREATE FUNCTION product_upsert_references(target regclass)
	RETURNS TABLE (child regclass, child_rows text, child_columns name[], condition text, can_be_referenced text,
				   assignments text)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.conrelid::regclass,
		   CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END || f.conrelid::regclass,
		   array_agg(ca.attname ORDER BY u.n),
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
	 ORDER BY f.conrelid::regclass::text, f.oid
$$;

COMMENT ON FUNCTION product_upsert_references(regclass) IS
	'for product_upsert_merge: the foreign keys that reference a table';

-- Makes one row of all that have the same key; one key after the other, under its lock, so that nobody who
-- takes the lock writes it meanwhile. The rows are locked FOR UPDATE, so that nobody else changes, deletes or
-- begins to reference them either.
--
-- From then on a row is known by its place, (tableoid, ctid). Only we can move it, where it references one of the
-- rows itself, is filled in, or a trigger writes to it: then the places are read again, of these rows alone. Others
-- with the key may have come meanwhile, unless the table is protected.
CREATE FUNCTION product_upsert_merge(target regclass, keep text DEFAULT 'oldest',
									 dry_run boolean DEFAULT false, max_keys integer DEFAULT NULL)
	RETURNS TABLE (key jsonb, kept jsonb, removed jsonb, references_moved bigint, filled name[])
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET row_security = off
	-- So that the text of a row is all there is to it.
	SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD'
	SET intervalstyle = postgres
	SET xmloption = content
AS $$
#variable_conflict use_column
DECLARE
	keys_per_notice CONSTANT int := 1000;
	key_columns name[] := @extschema@.product_upsert_key(target);
	identity name[] := @extschema@.product_upsert_identity(target);
	direction text := CASE keep WHEN 'oldest' THEN 'ASC' WHEN 'newest' THEN 'DESC' END;
	same_place CONSTANT text := 't.tableoid = o.tableoid AND t.ctid = o.ctid';
	key_list text;				-- t.brand, ...
	key_object text;			-- the key of row t as jsonb
	row_order text;				-- the row to keep first, then the one next to it
	row_name text;				-- what identifies row t, as text
	foreign_keys jsonb;			-- product_upsert_references
	fillable name[];
	duplicates text;			-- query for one row of each key that has several
	duplicate record;
	same_key text;
	places text;				-- query for the places of the rows with its key, or of those with these names
	tables oid[];
	ctids tid[];
	names text[];				-- what identifies them, if anything does
	kept_table oid;
	kept_ctid tid;
	reference record;
	is_referenced text;			-- query: does it reference one of the rows at these places?
	found boolean;
	repointing regclass;		-- whose rows are being repointed, if any are
	nrows bigint;
	nkeys bigint := 0;
BEGIN
	IF direction IS NULL OR dry_run IS NULL OR max_keys < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN direction IS NULL THEN 'keep must be "oldest" or "newest"'
						   WHEN dry_run IS NULL THEN 'dry_run must be true or false'
						   ELSE 'max_keys must be at least 1' END;
	END IF;
	-- An older snapshot would not show all the rows of a group.
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
			MESSAGE = 'product_upsert_merge() must run at READ COMMITTED';
	END IF;
	-- Time periods cannot be repointed: PostgreSQL 18 has foreign keys that end with one.
	IF EXISTS (SELECT FROM pg_constraint f
				WHERE f.contype = 'f' AND f.confrelid = target AND (to_jsonb(f) -> 'conperiod') = 'true') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('cannot merge rows of table "%s"', target),
			DETAIL = 'A foreign key references it for a period of time.';
	END IF;
	IF identity IS NULL AND EXISTS (SELECT FROM @extschema@.product_upsert_references(target) AS f WHERE f.child = target) THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('cannot merge rows of table "%s"', target),
			DETAIL = 'It references itself, and has no primary key or other unique constraint without nulls.';
	END IF;

	SELECT string_agg(format('t.%I', k), ', ' ORDER BY n),
		   format('jsonb_build_object(%s)', string_agg(format('%L, t.%I', k, k), ', ' ORDER BY n))
	  INTO key_list, key_object
	  FROM unnest(key_columns) WITH ORDINALITY AS u (k, n);
	SELECT string_agg(format('t.%I %s', c, direction), ', ' ORDER BY n) INTO row_order
	  FROM unnest(coalesce(identity, '{tableoid,ctid}')) WITH ORDINALITY AS u (c, n);
	row_name := CASE WHEN identity IS NULL THEN 'NULL::text'
					 ELSE (SELECT format('ROW(%s)::text', string_agg(format('t.%I', c), ', ' ORDER BY n))
							 FROM unnest(identity) WITH ORDINALITY AS u (c, n)) END;
	SELECT array_agg(a.attname ORDER BY a.attnum) INTO fillable
	  FROM pg_attribute a
	 WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attnotnull
	   AND a.attgenerated = '' AND a.attidentity = '' AND a.attname <> ALL (key_columns)
	   -- Nor what a column of the key is generated from.
	   AND NOT EXISTS (SELECT FROM pg_attrdef e
							  JOIN pg_attribute g ON g.attrelid = e.adrelid AND g.attnum = e.adnum
							  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
						WHERE e.adrelid = target AND g.attgenerated <> '' AND g.attname = ANY (key_columns)
						  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = target AND d.refobjsubid = a.attnum);
	SELECT coalesce(jsonb_agg(to_jsonb(f)), '[]') INTO foreign_keys FROM @extschema@.product_upsert_references(target) AS f;

	-- More keys than a transaction may lock one by one: then nobody else may write to the table meanwhile.
	duplicates := format('SELECT s.stored FROM (SELECT (t.*)::text AS stored, row_number() OVER (PARTITION BY %1$s) AS n FROM %2$s t) AS s'
						 ' WHERE s.n = 2 LIMIT %3$s', key_list, target, coalesce(max_keys::text, 'ALL'));
	EXECUTE format('SELECT count(*) FROM (%s) AS d', duplicates) INTO nrows;
	IF nrows > current_setting('product_upsert.max_key_locks')::bigint THEN
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', coalesce(pg_partition_root(target), target));
	END IF;

	FOR duplicate IN EXECUTE duplicates LOOP
		-- The row comes as text, because PL/pgSQL does not take variables that change their type.
		EXECUTE format('SELECT @extschema@.product_upsert_lock_row($2, $1::%s)', target) USING duplicate.stored, target;
		EXECUTE format('SELECT @extschema@.product_upsert_same_key($2, $1::%s)', target) INTO same_key USING duplicate.stored, target;
		places := format('SELECT array_agg(p.tableoid), array_agg(p.ctid), array_agg(p.name) FROM ('
						 'SELECT t.tableoid, t.ctid, %s AS name FROM %s t WHERE %s AND ($2 IS NULL OR %s = ANY ($2))'
						 ' ORDER BY %s FOR UPDATE) AS p', row_name, target, same_key, row_name, row_order);
		names := NULL;
		EXECUTE places INTO tables, ctids, names USING duplicate.stored, names;
		-- While we waited for the lock, somebody else may have merged or deleted them.
		CONTINUE WHEN coalesce(cardinality(ctids), 0) < 2;

		EXECUTE format('SELECT %s FROM %s t WHERE t.tableoid = $1 AND t.ctid = $2', key_object, target)
		   INTO key USING tables[1], ctids[1];
		EXECUTE format('SELECT jsonb_agg(to_jsonb(t.*) ORDER BY o.n)'
					   '  FROM %s t, unnest($1, $2) WITH ORDINALITY AS o (tableoid, ctid, n) WHERE %s', target, same_place)
		   INTO removed USING tables[2:], ctids[2:];

		references_moved := 0;
		FOR reference IN
			SELECT * FROM jsonb_to_recordset(foreign_keys)
				AS f (child regclass, child_rows text, condition text, can_be_referenced text, assignments text)
		LOOP
			is_referenced := format('SELECT EXISTS (SELECT FROM %s c, %s r, unnest($1, $2) AS o (tableoid, ctid)'
									' WHERE r.tableoid = o.tableoid AND r.ctid = o.ctid AND %s)',
									reference.child_rows, target, reference.condition);
			EXECUTE is_referenced INTO found USING tables[2:], ctids[2:];
			CONTINUE WHEN NOT found;

			EXECUTE format('SELECT %s FROM %s k WHERE k.tableoid = $1 AND k.ctid = $2', reference.can_be_referenced, target)
			   INTO found USING tables[1], ctids[1];
			IF NOT found THEN
				RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
					MESSAGE = format('cannot merge rows of table "%s"', target),
					DETAIL = format('Table "%s" cannot reference the row to be kept, as it is in another partition, or null in a referenced column.',
									reference.child);
			END IF;

			repointing := reference.child;
			EXECUTE format('UPDATE %s c SET %s FROM %s k, %s r, unnest($3, $4) AS o (tableoid, ctid)'
						   ' WHERE k.tableoid = $1 AND k.ctid = $2 AND r.tableoid = o.tableoid AND r.ctid = o.ctid AND %s',
						   reference.child_rows, reference.assignments, target, target, reference.condition)
			  USING tables[1], ctids[1], tables[2:], ctids[2:];
			GET DIAGNOSTICS nrows = ROW_COUNT;
			repointing := NULL;
			references_moved := references_moved + nrows;

			-- A trigger may have kept a row as it was. Deleting what it references could delete it, too.
			IF identity IS NOT NULL THEN
				EXECUTE places INTO tables, ctids USING duplicate.stored, names;
			END IF;
			EXECUTE is_referenced INTO found USING tables[2:], ctids[2:];
			IF found THEN
				RAISE EXCEPTION USING ERRCODE = 'triggered_data_change_violation',
					MESSAGE = format('cannot merge rows of table "%s"', target),
					DETAIL = format('A trigger of table "%s" keeps rows from referencing another row.', reference.child);
			END IF;
		END LOOP;

		EXECUTE format('SELECT array_remove(ARRAY[%s]::name[], NULL)'
					   '  FROM %s t, unnest($1, $2) WITH ORDINALITY AS o (tableoid, ctid, n) WHERE %s',
					   (SELECT string_agg(format('CASE WHEN bool_or(o.n = 1 AND NOT t.%1$I IS DISTINCT FROM NULL)'
												 ' AND bool_or(t.%1$I IS DISTINCT FROM NULL) THEN %1$L END', c), ', ' ORDER BY n)
						  FROM unnest(fillable) WITH ORDINALITY AS u (c, n)), target, same_place)
		   INTO filled USING tables, ctids;

		-- The other rows go first: what the kept row takes over may be unique.
		IF filled = '{}' THEN
			EXECUTE format('DELETE FROM %s t USING unnest($1, $2) AS o (tableoid, ctid) WHERE %s', target, same_place)
			  USING tables[2:], ctids[2:];
		ELSE
			EXECUTE (SELECT format('WITH gone AS (DELETE FROM %1$s t USING unnest($3, $4) WITH ORDINALITY AS o (tableoid, ctid, n)'
								   ' WHERE %2$s RETURNING o.n, %3$s)'
								   ' UPDATE %1$s k SET %4$s WHERE k.tableoid = $1 AND k.ctid = $2 RETURNING k.tableoid, k.ctid',
								   target, same_place,
								   string_agg(format('t.%I AS c%s', c, n), ', ' ORDER BY n),
								   string_agg(format('%I = (SELECT g.c%2$s FROM gone g WHERE g.c%2$s IS DISTINCT FROM NULL'
													 ' ORDER BY g.n LIMIT 1)', c, n), ', ' ORDER BY n))
					   FROM unnest(filled) WITH ORDINALITY AS u (c, n))
			   INTO kept_table, kept_ctid USING tables[1], ctids[1], tables[2:], ctids[2:];
			IF kept_ctid IS NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'triggered_data_change_violation',
					MESSAGE = format('cannot merge rows of table "%s"', target),
					DETAIL = 'A trigger keeps the kept row from being filled in.';
			END IF;
			tables[1] := kept_table;
			ctids[1] := kept_ctid;
		END IF;

		-- A row that one of its duplicates was below in a tree is not to be below itself now.
		FOR reference IN
			SELECT * FROM jsonb_to_recordset(foreign_keys) AS f (child regclass, child_columns name[], condition text)
			 WHERE f.child = target AND f.child_columns && filled
		LOOP
			EXECUTE format('UPDATE %s c SET %s FROM %s r WHERE c.tableoid = $1 AND c.ctid = $2'
						   ' AND r.tableoid = $1 AND r.ctid = $2 AND %s RETURNING c.ctid', target,
						   (SELECT string_agg(format('%I = NULL', f), ', ') FROM unnest(filled) AS f WHERE f = ANY (reference.child_columns)),
						   target, reference.condition)
			   INTO kept_ctid USING tables[1], ctids[1];
			IF kept_ctid IS NOT NULL THEN
				filled := ARRAY(SELECT f FROM unnest(filled) AS f WHERE f <> ALL (reference.child_columns));
				ctids[1] := kept_ctid;
			END IF;
		END LOOP;

		-- Rows that came meanwhile are left alone: they are for the next merge.
		EXECUTE format('SELECT count(*) FROM %s t, unnest($1, $2) AS o (tableoid, ctid) WHERE %s', target, same_place)
		   INTO nrows USING tables[2:], ctids[2:];
		IF identity IS NOT NULL THEN
			EXECUTE places INTO tables, ctids USING duplicate.stored, names;
			nrows := coalesce(cardinality(ctids), 0) - 1;
		END IF;
		IF nrows <> 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'triggered_data_change_violation',
				MESSAGE = format('cannot merge rows of table "%s"', target),
				DETAIL = 'A trigger keeps rows from being deleted, or creates them again.';
		END IF;
		EXECUTE format('SELECT to_jsonb(t.*) FROM %s t WHERE t.tableoid = $1 AND t.ctid = $2', target)
		   INTO kept USING tables[1], ctids[1];
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
		DECLARE
			broken name;
			reason text;
		BEGIN
			GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME, reason = PG_EXCEPTION_DETAIL;
			RAISE EXCEPTION USING ERRCODE = SQLSTATE,
				MESSAGE = format('cannot merge rows of table "%s"', target),
				DETAIL = format('Rows of table "%s" that reference them would break its constraint "%s": %s',
								repointing, broken, reason),
				HINT = 'Make those rows one, or delete what is not needed of them, and merge again.',
				CONSTRAINT = broken;
		END;
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
