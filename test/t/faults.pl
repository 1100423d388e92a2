# What goes wrong in the life of a server: sessions that are cancelled or terminated, crashes, and writes
# where none are allowed. A call is all or nothing, its locks end with it, and what was acknowledged stays.
# Also what a call must not cost, and what an ordinary user may do.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $node = start_node(
	'primary',
	init => { allows_streaming => 1 },
	max_connections => 40,
	max_prepared_transactions => 2
);

# One row, or an array, with a stock.
sub row
{
	my ($serial, $stock) = @_;

	return qq{{"brand": "b", "serial": "$serial", "manufacturer": "m", "stock": $stock}};
}

sub call
{
	return "SELECT product_upsert('" . (@_ > 2 ? '[' : '') . do
	{
		my @rows;
		while (my ($serial, $stock) = splice @_, 0, 2)
		{
			push @rows, row($serial, $stock);
		}
		join(', ', @rows) . (@rows > 1 ? ']' : '');
	  }
	  . "')";
}

sub pid
{
	return value($_[0], 'SELECT pg_backend_pid()');
}

create_product($node);
my $one = session($node);
my $other = session($node);
my %end = (
	cancelled => [ 'pg_cancel_backend', '57014' ],
	terminated => [ 'pg_terminate_backend', '57P01' ]
);

# -- cancelled and terminated ------------------------------------------------------------------------

for my $fate (sort keys %end)
{
	my ($function, $sqlstate) = @{ $end{$fate} };
	my $victim = session($node);
	my $pid = pid($victim);

	value($one, call(1, 1, 2, 1, 3, 1));

	# It waits for a key. It has written nothing yet, and holds other keys of its array.
	value($one, 'BEGIN; ' . call(2, 5));
	start_call($victim, call(1, 9, 2, 9, 3, 9, 4, 9));
	wait_until_waiting($node, 1);
	value($other, "SELECT $function($pid)");
	if ($fate eq 'cancelled')
	{
		finish_call($victim, $sqlstate, 'cancelled while it waits for a key');
		is(value($victim, 'SELECT 1'), 1, 'the session goes on');
	}
	$node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND locktype = 'advisory')")
	  or die;
	is(key_locks($node), 1, "$fate while it waits for a key: its keys are free, the other one's is not");
	value($one, 'COMMIT');
	is(value($one, 'SELECT string_agg(stock::text, \' \' ORDER BY serial) FROM product'),
		'1 5 1', 'nothing of it is written');
	is(value($one, call(1, 1) . "->>'action'"), 'unchanged', 'its keys can be written to');

	$victim = session($node) if $fate eq 'terminated';
	$pid = pid($victim);

	# It is in the middle of its array: the first rows are written, it waits for a plain writer's row.
	value($one, q{BEGIN; UPDATE product SET price = 1 WHERE serial = '3'});
	start_call($victim, call(1, 9, 2, 9, 4, 9, 3, 9, 5, 9));
	wait_until_waiting($node, 1, 'transactionid');
	is(key_locks($node), 5, 'in the middle of an array all its keys are locked');
	value($other, "SELECT $function($pid)");
	finish_call($victim, $sqlstate, 'cancelled in the middle of an array') if $fate eq 'cancelled';
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = $pid)") or die;
	is(key_locks($node), 0, "$fate in the middle of an array: no key is locked");
	value($one, 'COMMIT');
	is(value($one, 'SELECT string_agg(stock::text, \' \' ORDER BY serial) FROM product'),
		'1 5 1', 'nothing of it is written');
	is(value($one, call(3, 1) . "->>'action'"), 'unchanged', 'its keys can be written to');

	# Idle in a transaction that has locked keys.
	$victim = session($node) if $fate eq 'terminated';
	$pid = pid($victim);
	value($victim, 'BEGIN; ' . call(1, 7, 8, 7));
	is(key_locks($node), 2, 'an idle transaction holds its keys');
	start_call($one, call(8, 6) . "->>'action'");
	wait_until_waiting($node, 1);
	value($other, $fate eq 'terminated' ? "SELECT pg_terminate_backend($pid)" : 'SELECT 1');
	value($victim, 'ROLLBACK') if $fate eq 'cancelled';
	is(finish_call($one), 'created', 'and when it ends, whoever waited creates what it had not committed');
	value($one, 'TRUNCATE product');

	if ($fate eq 'cancelled')
	{
		is(value($victim, call(1, 1, 2, 1) . '->1->>\'action\''), 'created', 'the session that was cancelled works on');
		value($one, 'TRUNCATE product');
		$victim->quit;
	}
}

# -- read-only -----------------------------------------------------------------------------------------

my $lock = "SELECT product_upsert_lock('product', '" . row(1, 1) . "')";
my $large_array = q{SELECT product_upsert('product', (SELECT jsonb_agg(jsonb_build_object(
	'brand', 'b', 'serial', i::text, 'manufacturer', 'm', 'stock', i)) FROM generate_series(1, 1000) i))};
my %refused = (
	'a new row' => call(2, 1),
	'a changed row' => call(1, 2),
	'an unchanged row' => call(1, 1),
	'an array' => call(1, 1, 2, 1),
	'an array beyond the budget of key locks' => $large_array,
	'an empty array' => q{SELECT product_upsert('[]')},
	'a lock' => $lock
);

value($one, call(1, 1));
for my $what (sort keys %refused)
{
	value($one, 'BEGIN READ ONLY');
	fails($one, $refused{$what}, '25006', "a read-only transaction: $what");
	value($one, 'ROLLBACK');
}
is(value($one, 'BEGIN READ ONLY; SELECT count(*) FROM product_upsert_locks; COMMIT'), 0, 'the view can be read');
value(
	$one, q{CREATE TEMPORARY TABLE mine (brand text, serial text, manufacturer text, stock int);
	CREATE INDEX ON mine (serial); BEGIN READ ONLY}
);
is(value($one, "SELECT product_upsert('mine', '" . row(1, 1) . "')->>'action'"),
	'created', 'a temporary table can be written to even then');
value($one, 'COMMIT');

# -- a standby -------------------------------------------------------------------------------------------

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
value($one, call(1, 1));
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));

my $reader = session($standby);
for my $what (sort keys %refused)
{
	fails($reader, $refused{$what}, '25006', "a standby: $what");
}
is(value($reader, 'SELECT count(*) FROM product_upsert_locks'), 0, 'the view can be read');
is(value($reader, 'SELECT stock FROM product'), 1, 'and what was written elsewhere');

# What was prepared keeps its key when a standby takes over.
value($one, 'BEGIN; ' . call(7, 1) . q{; PREPARE TRANSACTION 'p'});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop('immediate');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
is(value($reader, call(1, 2) . "->>'action'"), 'updated', 'a promoted standby: the same session may write');
is(value($reader, 'SELECT prepared_transaction FROM product_upsert_locks'), 'p', 'a prepared transaction has its key');
start_call($reader, call(7, 1) . "->>'action'");
wait_until_waiting($standby, 1);
$standby->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is(finish_call($reader), 'unchanged', 'until it is committed');
$reader->quit;
$standby->stop;

# -- a crash -----------------------------------------------------------------------------------------------

# A session writes and notes each write that it was told of. The server crashes under it.
$node->start;
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
$_->quit for $one, $other;
my ($out, $err) = ('', '');
my $script = $node->basedir . '/writes';
append_to_file($script, join '', map { call($_ % 500, $_) . "->'product'->>'stock';\n" } 1 .. 50_000);
my $writer = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $script ],
	'>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$writer->pump until ($out =~ tr/\n//) > 1500;
$node->stop('immediate');
$writer->finish;
my @written = $out =~ /^(\d+)$/mg;
cmp_ok(scalar @written, '<', 50_000, scalar @written . ' writes were acknowledged before the crash');
is("@written", join(' ', 1 .. @written), 'one after the other');

$node->start;
my %acknowledged = map { $_ % 500 => $_ } @written;
my %stored = split /[|\n]/,
  $node->safe_psql('postgres', q{SELECT serial, stock FROM product WHERE serial <> '7' OR stock > 1});
my @lost = grep { ($stored{$_} // 0) < $acknowledged{$_} } keys %acknowledged;
is("@lost", '', 'after the crash each of them is there, or one after it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM product WHERE stock > } . (@written + 1)),
	0, 'and at most the one under way');
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT serial) FROM product'), 0, 'no key twice');
is(key_locks($node), 0, 'no lock outlives it');

# -- what an unchanged row does not cost ------------------------------------------------------------------------

$one = session($node);
value($one, 'TRUNCATE product RESTART IDENTITY');
my $calls = q{SELECT count(product_upsert('product', jsonb_build_object('brand', 'b', 'serial', i::text,
	'manufacturer', 'm', 'stock', %s)) ->> 'action' = '%s' OR NULL) FROM generate_series(1, 1000) i};
my $sequence = q{SELECT last_value FROM product_id_seq};
my $rows = q{SELECT md5(string_agg(p::text || ctid || xmin || xmax, '' ORDER BY id)) FROM product p};

is(value($one, sprintf $calls, 'i', 'created'), 1000, '1,000 rows are created');
is(value($one, $sequence), 1000, 'each with a number of its own');
is(value($one, sprintf $calls, 'i + 1', 'updated'), 1000, '1,000 rows are updated');
is(value($one, $sequence), 1000, 'no number is wasted on that');
is(value($one, 'SELECT count(*), min(id), max(id) FROM product'), '1000|1|1000', 'they keep theirs');

# Afterwards a search has nothing to tidy up. The running-transactions snapshot that a standby needs is
# written every now and then if anything else was; so let it come first.
value($one, 'VACUUM (FREEZE) product');
value($one, 'SELECT pg_log_standby_snapshot()') if $node->pg_version >= 16;
value($one, 'CHECKPOINT');
my $before = value($one, $rows);
my $wal;
for my $attempt (1 .. 3)
{
	my $lsn = value($one, 'SELECT pg_current_wal_insert_lsn()');
	is(value($one, sprintf $calls, 'i + 1', 'unchanged'), 1000, '1,000 rows are unchanged');
	is(value($one, sprintf($calls, 'i + 1', 'unchanged') =~ s/'stock'/'name', null, 'stock'/r),
		1000, 'and with a NULL that is there already');
	for my $n (1 .. 20)
	{
		value($one, call($n, $n + 1));
	}
	$wal = value($one, "SELECT pg_current_wal_insert_lsn() - '$lsn'");

	# The server itself may have written in between, once.
	last if $wal == 0;
}
is($wal, 0, 'no write-ahead log is written');
is(value($one, $rows), $before, 'no row has a new version, or was locked');
is(value($one, $sequence), 1000, 'no number is taken from a sequence');
is(value($one, 'BEGIN; ' . call(1, 2) . '->>\'action\'; SELECT pg_current_xact_id_if_assigned(); COMMIT'),
	"unchanged\n", 'not even a transaction number');
value($one, 'CREATE EXTENSION pgstattuple') if has_pgstattuple();
is(value($one, q{SELECT dead_tuple_count FROM pgstattuple('product')}), 0, 'nothing is left for VACUUM')
  if has_pgstattuple();

sub has_pgstattuple
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pgstattuple'});
}

# -- dump and restore ----------------------------------------------------------------------------------------------

my $dump = $node->basedir . '/dump';
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql(
	'source', q{
	CREATE SCHEMA api;
	CREATE EXTENSION product_upsert SCHEMA api;
	CREATE TABLE product (id bigint GENERATED BY DEFAULT AS IDENTITY, brand text, serial text, manufacturer text, stock int);
	CREATE INDEX ON product (serial);
	CREATE FUNCTION post(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT api.product_upsert($1)';
	CREATE VIEW locked AS SELECT * FROM api.product_upsert_locks;
	REVOKE EXECUTE ON FUNCTION api.product_upsert_lock FROM PUBLIC;
	ALTER DATABASE source SET product_upsert.max_waiters = 7;
	ALTER DATABASE source SET product_upsert.default_table = 'public.product';
	SELECT post('[} . row(1, 1) . ', ' . row(2, 1) . q{]')}
);
for my $format ('custom', 'plain')
{
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-F', $format, '-f', $dump ], "pg_dump, $format");
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS target');
	$node->safe_psql('postgres', 'CREATE DATABASE target');
	$node->command_ok(
		$format eq 'plain'
		? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('target'), '-f', $dump ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr('target'), $dump ],
		'restored'
	);
	is(
		$node->safe_psql('target', 'SELECT post(\'[' . row(1, 1) . ', ' . row(2, 2) . ', ' . row(3, 3) . ']\')') =~
		  s/"product".*?\}//gr =~ s/[^a-z]+/ /gr,
		' action unchanged action updated previous stock action created ',
		'a restored database goes on'
	);
	is($node->safe_psql('target', 'SELECT count(*), max(id) FROM product'), '3|3', 'with its next number');
	is($node->safe_psql('target', 'SELECT count(*) FROM locked'), 0, 'and its views');
	is(
		$node->safe_psql(
			'target', q{SELECT has_function_privilege('public', 'api.product_upsert_lock(regclass, jsonb)', 'EXECUTE')}
		),
		'f',
		'and privileges'
	);
}
unlike(slurp_file($dump), qr/CREATE FUNCTION api\.product_upsert/, 'a dump names the extension, not what is in it');

# A whole server, settings and all.
$node->command_ok([ 'pg_dumpall', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dumpall');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$copy->start;
$copy->command_ok([ 'psql', '-Xq', '-d', $copy->connstr('postgres'), '-f', $dump ], 'restored');
is($copy->safe_psql('source', q{SELECT post('} . row(1, 1) . q{') ->> 'action'}),
	'unchanged', 'a restored server goes on');
is(
	$copy->safe_psql(
		'source',
		q{SELECT current_setting('product_upsert.max_waiters') || current_setting('product_upsert.default_table')}
	),
	'7public.product',
	'with the settings of its databases'
);
$copy->stop;

# -- an ordinary user ------------------------------------------------------------------------------------------------

$node->safe_psql(
	'postgres', q{
	DROP EXTENSION product_upsert;
	CREATE ROLE developer LOGIN;
	CREATE ROLE visitor LOGIN;
	CREATE DATABASE theirs}
);
my $visitor = session($node, role => 'visitor', dbname => 'theirs');
my $developer = session($node, role => 'developer', dbname => 'theirs');

fails($developer, 'CREATE EXTENSION product_upsert', '42501', 'without CREATE on the database');
$node->safe_psql('postgres', 'GRANT CREATE ON DATABASE theirs TO developer');
value($developer, q{CREATE SCHEMA "Their own, schema"; GRANT USAGE ON SCHEMA "Their own, schema" TO visitor});
value($developer, q{CREATE EXTENSION product_upsert SCHEMA "Their own, schema"});
pass('CREATE on the database is enough, for a schema of any name');
value($developer, q{SET search_path = "Their own, schema"});
value(
	$developer, q{CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
	CREATE INDEX ON product (serial)}
);
is(value($developer, call(1, 1) . "->>'action'"), 'created', 'they can use it');
value($developer, 'BEGIN; ' . call(1, 2));
is(value($developer, 'SELECT target, granted, usename FROM product_upsert_locks'),
	'product|t|developer', 'and see the locks');
value($developer, 'COMMIT');
value($visitor, q{SET search_path = "Their own, schema"});
fails($visitor, call(1, 1), '42501', "another one cannot write to their table");
value($developer, 'GRANT SELECT, INSERT, UPDATE ON product TO visitor');
is(value($visitor, call(1, 1) . "->>'action'"), 'updated', 'unless allowed to');
is(value($visitor, 'SELECT count(*) FROM product_upsert_locks'), 0, 'and may look at the locks');
value($developer, 'CREATE SCHEMA second');
fails($developer, 'ALTER EXTENSION product_upsert SET SCHEMA second', '0A000', 'it stays where it was installed');
fails($visitor, 'DROP EXTENSION product_upsert', '42501', 'another one cannot drop it');
value($developer, 'DROP EXTENSION product_upsert');
pass('they can');
value($developer, 'CREATE EXTENSION product_upsert SCHEMA second');
is(value($developer, "SELECT second.product_upsert('" . row(1, 1) . "')->>'action'"),
	'unchanged', 'and install it elsewhere');

$_->quit for $developer, $visitor, $one;
$node->stop;
done_testing();
