# Payloads made to hurt: whatever is sent, the answer is a result or an error with its SQLSTATE, the
# session goes on, and nothing is left in memory.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node('payloads');
my $session = session($node);
my $key = q{"brand": "b", "serial": "1", "manufacturer": "m"};

$node->safe_psql(
	'postgres', q{
	CREATE TABLE product (brand text, serial text, manufacturer text, name text, code varchar(10), amount numeric,
		ratio float8, n int, big bigint, flag bool, day date, data jsonb, raw json, tags text[], id uuid, bits bytea);
	CREATE INDEX ON product (md5(serial));
	CREATE INDEX ON product (brand)}
);
value($session, 'SET standard_conforming_strings = on');

# A call whose payload is an SQL expression of type jsonb.
sub call
{
	my ($expression) = @_;

	return "SELECT length(product_upsert($expression)::text) > 0";
}

sub payload
{
	my ($fields) = @_;

	return qq{'{$key, $fields}'::jsonb};
}

sub accepted
{
	my ($expression, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(value($session, call($expression)), 't', "accepted: $name");
}

sub rejected
{
	my ($expression, $sqlstate, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $errors = fails($session, call($expression), $sqlstate, "rejected: $name");

	cmp_ok(length($errors), '<', 5000, '... with a message of some length') or diag(length $errors);
	return is(value($session, call(payload('"n": 1'))), 't', '... and the session goes on');
}

# -- size ------------------------------------------------------------------------------------------

my $object = "'{$key}'::jsonb || ";
rejected("$object jsonb_build_object(repeat('x', 1000000), 1)", '42703', 'a field name of 1 MB');
rejected("$object jsonb_build_object(repeat('ä', 500000), 1)", '42703', 'a field name of 1 MB in two-byte letters');
rejected("$object jsonb_build_object('', 1)", '42703', 'an empty field name');
rejected(q{(SELECT jsonb_object_agg('f' || i, i) FROM generate_series(1, 100000) i)}, '42703', '100,000 fields');
rejected("$object jsonb_build_object('name\" = 1; --', 1)", '42703', 'a field name with SQL in it');
rejected("$object jsonb_build_object('%s%n%d', 1)", '42703', 'a field name with formats in it');
rejected("$object '{\"NAME\": 1}'", '42703', 'a field name in other letters');
rejected("$object '{\"ctid\": \"(0,1)\"}'", '42703', 'a system column');
rejected("$object '{\"tableoid\": 1}'", '42703', 'another');
accepted("$object jsonb_build_object('name', repeat('x', 10000000))", 'a value of 10 MB');
accepted("$object jsonb_build_object('serial', repeat('y', 1000000))", 'a key of 1 MB');
is(value($session, call("$object jsonb_build_object('serial', repeat('y', 1000000))")), 't', 'the same key again');
is(value($session, 'SELECT count(*) FROM product WHERE length(serial) = 1000000'), 1, 'is one row');
rejected("$object jsonb_build_object('code', repeat('x', 1000000))", '22001', 'a value too long for its column');
accepted("$object jsonb_build_object('data', (SELECT jsonb_object_agg('f' || i, i) FROM generate_series(1, 100000) i))",
	'100,000 fields in a jsonb column');

# -- depth -----------------------------------------------------------------------------------------

# How deep it may be is told by max_stack_depth; deeper is an error.
accepted("$object jsonb_build_object('data', (repeat('[', 1000) || repeat(']', 1000))::jsonb)", 'nesting of 1,000');
accepted("$object jsonb_build_object('data', (repeat('{\"a\":', 1000) || '1' || repeat('}', 1000))::jsonb)",
	'nesting of 1,000 objects');
for my $column (qw(data raw tags name nonsense))
{
	$session->{stderr} = '';
	$session->query(call("$object jsonb_build_object('$column', (repeat('[', 10000) || repeat(']', 10000))::jsonb)"));
	my ($sqlstate) = $session->{stderr} =~ /ERROR:  (\w{5})/;
	my %expected = (tags => qr/22P02|54001|54000/, nonsense => qr/42703/);
	like($sqlstate // 'none', $expected{$column} // qr/none|54001/, "nesting of 10,000 in column $column");
	is(value($session, call(payload('"n": 1'))), 't', '... and the session goes on');
}
rejected("(repeat('[', 1000) || repeat(']', 1000))::jsonb", '22023', 'arrays in arrays alone');
rejected("'[[{$key}]]'", '22023', 'an array in an array');

# -- arrays ------------------------------------------------------------------------------------------

is(
	value(
		$session, q{SELECT jsonb_array_length(product_upsert((
	SELECT jsonb_agg(jsonb_build_object('brand', i::text, 'serial', 's', 'manufacturer', NULL, 'n', i))
	  FROM generate_series(1, 100000) i)))}
	),
	100000,
	'an array of 100,000 elements'
);
is(
	value(
		$session, q{SELECT jsonb_array_length(product_upsert((
	SELECT jsonb_agg(jsonb_build_object('brand', 'same', 'serial', 's', 'manufacturer', NULL, 'n', i))
	  FROM generate_series(1, 5000) i)))}
	),
	5000,
	'5,000 elements of the same key'
);
is(value($session, q{SELECT count(*), min(n) FROM product WHERE brand = 'same'}), '1|5000',
	'are one row, the last one');
is(value($session, q{SELECT product_upsert('[]')}), '[]', 'an empty array');
rejected(
	q{(SELECT jsonb_agg(jsonb_build_object('brand', i::text, 'serial', 't', 'manufacturer', NULL,
	'n', CASE WHEN i < 100000 THEN to_jsonb(i) ELSE '"x"' END)) FROM generate_series(1, 100000) i)},
	'22P02', 'an array of 100,000 whose last element is wrong'
);
is(value($session, q{SELECT count(*) FROM product WHERE serial = 't'}), 0, 'leaves none of the others');
value($session, q{DELETE FROM product WHERE serial = 's'; VACUUM product});

# -- numbers -----------------------------------------------------------------------------------------

accepted(payload('"amount": 1e131071'), 'a number of 131,072 digits');
accepted(payload('"amount": 1e-16383'), 'one of 16,383 decimals');
accepted(payload('"amount": "NaN"'), 'no number, as a string');
accepted(payload('"amount": "Infinity"'), 'an infinite one');
accepted(payload('"ratio": "-Infinity"'), 'a negative one');
rejected(payload('"amount": 1e131072'), '22003', 'a number of one digit more');
rejected(payload('"ratio": 1e400'), '22003', 'a number too large for float8');
rejected(payload('"n": 2147483648'), '22003', 'for integer');
rejected(payload('"big": 9223372036854775808'), '22003', 'for bigint');
rejected(payload('"n": 1e1000'), '22003', 'far too large for integer');
rejected(payload('"n": 1.5'), '22P02', 'a fraction for integer');
rejected(payload('"n": true'), '22P02', 'a boolean for integer');
rejected(payload('"n": []'), '22P02', 'an array for integer');
rejected(payload('"n": {}'), '22P02', 'an object for integer');
rejected(payload('"day": "2024-02-30"'), '22008', 'a day that is none');
rejected(payload('"day": "tomorrow week"'), '22007', 'text for a date');
rejected(payload('"id": "x"'), '22P02', 'text for a uuid');
rejected(payload('"flag": "perhaps"'), '22P02', 'text for a boolean');
rejected(payload('"tags": [["a"], "b"]'), '22P02', 'an array without a shape');

# -- letters -------------------------------------------------------------------------------------------

rejected(payload('"name": "a\u0000b"'), '22P05', 'a zero byte');
rejected(payload('"a\u0000b": 1'), '22P05', 'a zero byte in a field name');
rejected(payload('"name": "\ud800"'), '22P02', 'half a letter');
rejected(payload('"name": "\udc00\ud800"'), '22P02', 'two halves in the wrong order');
rejected(payload('"name": "\x"'), '22P02', 'a wrong escape');
rejected(qq{convert_from('\\x7b226272616e64223a2022c328227d', 'UTF8')::jsonb}, '22021', 'bytes that are no letter');
accepted(payload('"name": "\ud83d\ude00\u202e\ufeff"'), 'letters beyond the basic plane');
is(value($session, q{SELECT name = U&'\+01F600\202E\FEFF' FROM product WHERE serial = '1'}),
	't', 'are stored as they are');
is(value($session, "SELECT product_upsert('{$key, \"name\": \"first\", \"name\": \"last\"}')->'product'->>'name'"),
	'last', 'a field that comes twice: the last one counts, as ever in jsonb');
is(
	value(
		$session,
		q{SELECT product_upsert('{"brand": "b", "serial": "1", "serial": "2", "manufacturer": "m"}')->'product'->>'serial'}
	),
	'2',
	'in the key too'
);
accepted(q{'{"brand": "", "serial": " ", "manufacturer": "\\n"}'}, 'a key of nothing');
is(
	value(
		$session, q{SELECT count(*) FROM (SELECT product_upsert(k::jsonb) FROM unnest(ARRAY[
	'{"brand": "", "serial": "x", "manufacturer": null}', '{"brand": null, "serial": "x", "manufacturer": ""}',
	'{"brand": "x", "serial": "", "manufacturer": null}', '{"brand": "null", "serial": "x", "manufacturer": null}']) k) s}
	),
	4,
	'NULL, nothing and "null"'
);
is(value($session, q{SELECT count(*) FROM product WHERE serial IN ('x', '') AND n IS NULL}), 4, 'are four keys');
is(
	value(
		$session,
		q{SELECT product_upsert('{"brand": "it''s; DROP TABLE product; --", "serial": "\"", "manufacturer": "$1"}')->>'action'}
	),
	'created',
	'SQL in a value'
);

# -- names -----------------------------------------------------------------------------------------------

# The table and its columns may be called anything.
$node->safe_psql(
	'postgres', q{
	CREATE SCHEMA "a.b ""c";
	CREATE TABLE "a.b ""c"."select ""x"" $1; --" (r text, r_ text, brand text, serial text, manufacturer text,
		"group" int, "quote "" '" int, "$1" int, "ä ö" int, "%s" int, "123456789012345678901234567890123456789012345678901234567890123" int);
	CREATE INDEX ON "a.b ""c"."select ""x"" $1; --" (serial)}
);
my $strange =
  q{SELECT product_upsert('"a.b ""c"."select ""x"" $1; --"', jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', NULL,
	'r', 'r', 'r_', 'r', 'group', %1$s, 'quote " ''', %1$s, '$1', %1$s, 'ä ö', %1$s, '%%s', %1$s,
	'123456789012345678901234567890123456789012345678901234567890123', %1$s))->>'action'};
is(value($session, sprintf $strange, 1), 'created', 'strange names: created');
is(value($session, sprintf $strange, 2), 'updated', 'updated');
is(value($session, sprintf $strange, 2), 'unchanged', 'unchanged');

# -- memory ------------------------------------------------------------------------------------------------

my $memory = q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts};
my $hostile = q{
	DO $$
	BEGIN
		FOR i IN 1 .. 200 LOOP
			BEGIN
				PERFORM product_upsert(jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', 'm',
					CASE i % 4 WHEN 0 THEN repeat('x', 100000) WHEN 1 THEN 'code' WHEN 2 THEN 'tags' ELSE 'name' END,
					repeat('y', 100000)));
			EXCEPTION WHEN OTHERS THEN
			END;
		END LOOP;
	END $$};
value($session, $hostile) for 1 .. 3;
my $before = value($session, $memory);
value($session, $hostile) for 1 .. 5;
my $after = value($session, $memory);
cmp_ok($after, '<=', $before + 16384, 'nothing of 1,000 such payloads stays in memory');

# A large call needs memory in proportion, and only once: 30 rows of 1 MB each must not add up in a loop.
is(
	value(
		$session, q{SELECT bool_and(product_upsert(jsonb_build_object('brand', 'b', 'serial', '1', 'manufacturer', 'm',
	'name', i || repeat('z', 1000000))) ->> 'action' = 'updated') FROM generate_series(1, 30) i}
	),
	't',
	'30 values of 1 MB'
);
cmp_ok(value($session, $memory), '<=', $before + 16384, 'nor of these');

# What one element of an array needs is given back before the next. Each row is 10 kB, and stays in memory
# twice: as it was sent and in the result.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE watched (brand text, serial text, manufacturer text, name text);
	CREATE INDEX ON watched (serial);
	CREATE SEQUENCE row_number;
	CREATE TABLE memory (n bigint, bytes bigint);
	CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		n bigint := nextval('row_number');
	BEGIN
		IF n % 500 = 0 THEN
			INSERT INTO memory SELECT n, sum(total_bytes) FROM pg_backend_memory_contexts;
		END IF;
		RETURN new;
	END $$;
	CREATE TRIGGER watch BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION watch()}
);
value(
	$session,
	q{SELECT count(product_upsert('watched', (SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', i::text,
	'manufacturer', 'm', 'name', repeat(i || ' ', 10000 / (1 + length(i::text))))) FROM generate_series(1, 2000) i)))}
);
cmp_ok(
	$node->safe_psql('postgres', 'SELECT max(bytes) - min(bytes) FROM memory'),
	'<',
	3 * 1500 * 10_000,
	'a long array needs little more than its rows'
);

is(key_locks($node), 0, 'no key lock is left');
$session->quit;
$node->stop;
done_testing();
