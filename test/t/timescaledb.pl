# Hypertables of TimescaleDB: an empty table with chunks for children. A row that is written into the empty table itself is
# lost, and a guard in a chunk knows nothing of the others.
#
# Where TimescaleDB is not installed, a stand-in is, for as long as the test takes, if the extension directory can be written
# to: the same tables, in which no row finds its chunk by itself. So what becomes of rows is tested with TimescaleDB alone.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my $dir = "$sharedir/extension";
my $is_real = -e "$dir/timescaledb.control";
my @stand_in = $is_real ? () : ("$dir/timescaledb.control", "$dir/timescaledb--0.sql");

plan skip_all => 'TimescaleDB is not installed, nor can the extension directory be written to'
  unless $is_real || -w $dir;

# Also when the test dies
END
{
	unlink @stand_in;
}

if (!$is_real)
{
	append_to_file($stand_in[0], "default_version = '0'\nrelocatable = false\n");
	append_to_file(
		$stand_in[1], q{
		CREATE SCHEMA _timescaledb_catalog;
		CREATE TABLE _timescaledb_catalog.hypertable (id serial, schema_name name, table_name name);
		CREATE SCHEMA _timescaledb_cache;
		CREATE TABLE _timescaledb_cache.cache_inval_hypertable ();
		CREATE FUNCTION create_hypertable(target regclass, time_column name, create_default_indexes boolean DEFAULT true)
			RETURNS void LANGUAGE sql SET allow_system_table_mods = on AS $$
			INSERT INTO _timescaledb_catalog.hypertable (schema_name, table_name)
				SELECT relnamespace::regnamespace::name, relname FROM pg_class WHERE oid = target;
			UPDATE pg_class SET relname = relname WHERE oid = '_timescaledb_cache.cache_inval_hypertable'::regclass;
		$$;
	}
	);
}
note($is_real ? 'with TimescaleDB' : 'with a stand-in');

my $node = start_node('timescaledb',
	$is_real ? (shared_preload_libraries => 'timescaledb', 'timescaledb.telemetry_level' => 'off') : ());

my $columns = 'at timestamptz NOT NULL, brand text, serial text, manufacturer text, stock int';

sub item
{
	my ($serial, $stock, $at) = @_;

	return sprintf q{'{"at": "%s", "brand": "b", "serial": "%s", "manufacturer": "m", "stock": %d}'::jsonb},
	  $at // '2024-01-01', $serial, $stock;
}

sub create_table
{
	my ($table) = @_;

	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE $table ($columns);
		CREATE INDEX ON $table (brand, serial, manufacturer);
	}
	);
	return;
}

# Makes a hypertable of it. That touches the table itself as little as can be.
sub create_hypertable
{
	my ($table) = @_;

	$node->safe_psql('postgres', "SELECT create_hypertable('$table', 'at', create_default_indexes => false)");
	return;
}

# Returns a chunk of the hypertable, which TimescaleDB makes for a row.
sub create_chunk
{
	my ($table) = @_;

	if ($is_real)
	{
		$node->safe_psql('postgres', "INSERT INTO $table VALUES ('2020-01-01', 'first', '', '', 0)");
		return $node->safe_psql('postgres', "SELECT show_chunks('$table', older_than => timestamptz '2021-01-01')");
	}
	$node->safe_psql('postgres', "CREATE TABLE ${table}_chunk (LIKE $table INCLUDING INDEXES) INHERITS ($table)");
	return "${table}_chunk";
}

# Passes if the session writes a row to the table directly, or does so by statements as it is a hypertable.
sub writes_directly
{
	my ($open, $table, $directly) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	value($open, 'SET client_min_messages = debug1');
	value($open, "SELECT product_upsert('$table', " . item(1, 1) . ')');
	my ($reason) = $open->{stderr} =~ /writes to table "$table" by SQL statements: (.*)/;
	is(
		$reason,
		$directly ? undef : 'it is a hypertable',
		"$table: a row is written " . ($directly ? 'directly' : 'by statements')
	);
	value($open, 'RESET client_min_messages');
	value($open, "DELETE FROM $table") if $directly;
	return;
}

sub rows
{
	my ($table) = @_;

	return $node->safe_psql('postgres', "SELECT serial, stock FROM $table WHERE brand = 'b' ORDER BY serial, stock") =~
	  s/\n/ /gr;
}

# -- with either --------------------------------------------------------------------------------------------

# A table that another session has made a hypertable since: nothing in it tells so until it has a chunk. One session has been
# there before the extension was, the other has seen the catalog of hypertables without the table in it.
my $before = session($node);
create_table('early');
writes_directly($before, 'early', 1);
$node->safe_psql('postgres', 'CREATE EXTENSION timescaledb');
create_hypertable('early');
writes_directly($before, 'early', 0);

my $session = session($node);
create_table('metric');
writes_directly($session, 'metric', 1);
create_hypertable('metric');
writes_directly($session, 'metric', 0);

fails($session, "SELECT product_upsert_protect('metric')", '0A000', 'a hypertable cannot be protected');

my $chunk = create_chunk('metric');
fails($session, "SELECT product_upsert('$chunk', " . item(1, 1) . ')', '0A000', 'a chunk is no target');
fails($session, "SELECT product_upsert_lock('$chunk', " . item(1, 1) . ')', '0A000', '... nor can its keys be locked');
fails($session, "SELECT product_upsert_protect('$chunk')", '0A000', '... nor can it be protected');
fails($session, "SELECT * FROM product_upsert_merge_duplicates('$chunk')", '0A000', '... nor its rows merged');

# A guard that is there all the same
$node->safe_psql('postgres',
	"CREATE TRIGGER guard AFTER INSERT OR UPDATE ON $_ FOR EACH ROW EXECUTE FUNCTION product_upsert_guard()")
  for 'metric', $is_real ? () : $chunk;
my $error = fails($session, "INSERT INTO $chunk VALUES ('2020-01-01', 'b', '2', 'm', 0)",
	'0A000', 'the guard of a chunk refuses rows');
like($error, qr/It is a chunk of hypertable "metric".*product_upsert_unprotect/s, '... and tells what to do');
fails(
	$session, "SELECT product_upsert_protect('metric')",
	'0A000', 'a guard makes no difference to product_upsert_protect'
);
value($session, "SELECT product_upsert_unprotect('$_')") for 'metric', $is_real ? () : $chunk;
value($session, "INSERT INTO $chunk VALUES ('2020-01-01', 'b', '2', 'm', 0)");

# A table with children of its own making is none.
$node->safe_psql('postgres', "CREATE TABLE plain ($columns); CREATE TABLE plain_child () INHERITS (plain)");
value($session, "SELECT product_upsert_protect('$_')") for 'plain', 'plain_child';
value($session, "SELECT product_upsert('plain_child', " . item(1, 1) . ')');
is(rows('plain'), '1|1', 'inheritance without TimescaleDB is as it was');

if (!$is_real)
{
	done_testing();
	exit;
}

# -- with TimescaleDB: what becomes of rows -----------------------------------------------------------------

is(rows('metric'), '1|1 2|0', 'the row that went into the empty hypertable is there');
is(value($session, 'SELECT count(*) FROM ONLY metric'), '0', '... in a chunk');

is(value($session, "SELECT product_upsert('metric', " . item(1, 5) . ") -> 'previous'"),
	'{"stock": 1}', 'it is found and updated');
is(value($session, "SELECT product_upsert('metric', " . item(1, 5) . ") ->> 'action'"),
	'unchanged', '... or left as it is');
is(
	value(
		$session,
		"SELECT jsonb_path_query_array(product_upsert('metric', jsonb_build_array("
		  . join(', ', item(3, 3, '2024-03-01'), item(4, 4, '2024-04-01'), item(3, 33, '2024-03-01'))
		  . ")), '\$[*].action')"
	),
	'["created", "created", "updated"]',
	'an array creates chunks as it needs them'
);
value($session,
	"CREATE TABLE feed AS SELECT at, brand, serial, manufacturer, stock + 100 AS stock FROM metric WHERE brand = 'b'");
value($session, "INSERT INTO feed VALUES ('2024-05-01', 'b', '5', 'm', 5)");
is(value($session, "SELECT * FROM product_upsert_from('feed', 'metric')"),
	'1|4|0|0|0', 'a load finds rows in all chunks');
is(rows('metric'), '1|105 2|100 3|133 4|104 5|5', '... and all is there once');
fails($session, "SELECT product_upsert('metric', " . item(1, 1, '2024-06-01') . ')',
	'23514', 'a row does not move to another chunk');

value($session, "INSERT INTO metric VALUES ('2024-07-01', 'b', '3', 'm', NULL), ('2024-08-01', 'b', '4', 'm', 9)");
is(value($session, "SELECT key ->> 'serial', copies FROM product_upsert_duplicates('metric') ORDER BY 1"),
	"3|2\n4|2", 'duplicates in different chunks');
fails($session, "SELECT product_upsert('metric', " . item(3, 3) . ')', '21000', '... are no row to update');
is(
	value($session, "SELECT kept ->> 'stock' FROM product_upsert_merge_duplicates('metric') ORDER BY key ->> 'serial'"),
	"133\n104",
	'... and are merged'
);
is(rows('metric'), '1|105 2|100 3|133 4|104 5|5', '... so that the others stay');

# Tables that are protected already
create_table('guarded');
value($session, "SELECT product_upsert_protect('guarded')");
value($session, "INSERT INTO guarded VALUES ('2024-01-01', 'b', '1', 'm', 1)");
fails(
	$session, "SELECT create_hypertable('guarded', 'at', migrate_data => true)",
	'0A000', 'rows of a protected table do not become chunks'
);
value($session, 'TRUNCATE guarded');
create_hypertable('guarded');
fails(
	$session, "INSERT INTO guarded VALUES ('$_', 'b', '1', 'm', 1)",
	'0A000', 'a protected table that became a hypertable is not written to'
) for '2024-01-01', '2024-02-01';
fails($session, "SELECT product_upsert('guarded', " . item(1, 1) . ')', '0A000', '... by calls neither');
value($session, "SELECT product_upsert_unprotect('guarded')");
is(value($session, "SELECT product_upsert('guarded', " . item(1, 1) . ") ->> 'action'"),
	'created', '... until it is unprotected');

# What is compressed has no place by which it could be updated.
value($session, q{ALTER TABLE metric SET (timescaledb.compress, timescaledb.compress_segmentby = 'brand')});
value($session, q{SET client_min_messages = error; SELECT count(compress_chunk(c)) FROM show_chunks('metric') AS c});
fails(
	$session, "SELECT product_upsert('metric', " . item($_, 7) . ')',
	'42P10', "compressed chunks: TimescaleDB refuses to look, serial $_"
) for 1, 'new';
value($session, q{SELECT count(decompress_chunk(c)) FROM show_chunks('metric') AS c});
is(value($session, "SELECT product_upsert('metric', " . item(1, 7) . ") ->> 'action'"),
	'updated', '... until they are decompressed');

done_testing();
