# Behind PgBouncer, where clients share connections to the server that change hands with each transaction or each statement.
# The connections stay when clients go, and so would any lock that belongs to a session.
#
# PgBouncer 1.18, that of Debian 12, knows nothing of prepared statements when it shares connections: what does not outlive a
# transaction works, what was prepared before may be there or not. Later ones keep what is prepared by the protocol, unless they
# are told not to, as here.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_node('pooler');

# The same node, as it is reached through PgBouncer.
my $pooled = bless { %$node, _host => PostgreSQL::Test::Utils::tempdir_short(), _port => 6432 }, ref $node;

# -- PgBouncer ----------------------------------------------------------------------------------------

my $server = sprintf 'host=%s port=%s dbname=postgres user=pooled', $node->host, $node->port;
$node->safe_psql('postgres', 'CREATE ROLE pooled SUPERUSER LOGIN');
my ($version) = (run_command([ 'pgbouncer', '--version' ]))[0] =~ /PgBouncer 1\.(\d+)/;
my $config = PostgreSQL::Test::Utils::tempdir() . '/pgbouncer.ini';
append_to_file(
	$config,
	join "\n",
	'[databases]',
	"postgres = $server pool_size=5",
	"statement = $server pool_size=5 pool_mode=statement",
	"one = $server pool_size=1",
	"two = $server pool_size=2",
	'[pgbouncer]',
	'pool_mode = transaction',
	'auth_type = any',
	'max_client_conn = 100',
	'server_idle_timeout = 0',
	$version < 21 ? () : 'max_prepared_statements = 0',
	'unix_socket_dir = ' . $pooled->host,
	'listen_port = ' . $pooled->port,
	"logfile = $PostgreSQL::Test::Utils::log_path/pgbouncer.log",
	''
);

# It ends with this script, however that ends.
my $pgbouncer = IPC::Run::start([ 'setpriv', '--pdeathsig', 'TERM', 'pgbouncer', '--quiet', $config ]);

END
{
	local $?;
	$pgbouncer->kill_kill if $pgbouncer;
}

# psql, which gets its statement from a pipe, would break that if there were nobody to connect to yet.
my $socket = $pooled->host . '/.s.PGSQL.' . $pooled->port;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if -S $socket;
	usleep(100_000);
}
$pooled->poll_query_until('postgres', 'SELECT true') or die 'PgBouncer does not answer';

# The number of connections that PgBouncer has to the server.
sub connections
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled'});
}

sub call
{
	my ($serial, $stock) = @_;

	return
	  sprintf q{SELECT product_upsert('{"brand": "b", "serial": "%s", "manufacturer": null, "stock": %d}')->>'action'},
	  $serial, $stock;
}

# Ends a client as a crash would. PgBouncer is not told.
sub kill_client
{
	my ($session) = @_;

	$session->{run}->kill_kill(grace => 0);
	return;
}

# -- 50 clients on 5 connections ------------------------------------------------------------------------

# Each call enters into the ledger what it was told; see ledger_is_sound().
my $one_of_few = q{\set key random(1, 20)
};
my $upsert = q{INSERT INTO ledger
SELECT r->'product'->>'serial', r->>'action', (r->'previous'->>'stock')::bigint, (r->'product'->>'stock')::bigint
  FROM product_upsert(jsonb_build_object('brand', 'b', 'serial', :key::text, 'manufacturer', null, 'stock', nextval('number'))) r;
};
my $upsert_several = q{INSERT INTO ledger
SELECT r->'product'->>'serial', r->>'action', (r->'previous'->>'stock')::bigint, (r->'product'->>'stock')::bigint
  FROM jsonb_array_elements(product_upsert((
	SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', (random() * 19)::int + 1, 'manufacturer', null,
		   'stock', nextval('number'))) FROM generate_series(1, 5)))) r;
};

# Runs the scripts by 50 clients, and looks at what is left.
sub hammer
{
	my ($name, $database, $scripts, %params) = @_;

	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS product, ledger; DROP SEQUENCE IF EXISTS number');
	create_product($node);
	$node->safe_psql('postgres', LEDGER);
	pgbench_finishes($pooled, $name, "-c 50 -j 2 -t 40 -M extended $database", $scripts, 50 * 40);
	ledger_is_sound($node, $name, %params);
	is(key_locks($node), 0, "$name: no key lock is left behind");
	return;
}

hammer(
	'transactions',
	'postgres',
	{
		'a@3' => $one_of_few . $upsert,
		'b@1' => $upsert_several,
		'c@1' => "${one_of_few}BEGIN;\n${upsert}COMMIT;\n",
		'd@1' => "${one_of_few}BEGIN;\n${upsert}ROLLBACK;\n"
	}
);
is(connections(), 5, 'they shared five connections');

hammer('statements', 'statement', { a => $one_of_few . $upsert }, entries => 50 * 40);
is(connections(), 10, 'and five others');

# -- a lock ends with its transaction, not with its connection ---------------------------------------------

my ($first, $second) = map { session($pooled, dbname => 'one') } 1 .. 2;
my $backend = value($first, 'SELECT pg_backend_pid()');

for my $end ('COMMIT', 'ROLLBACK', 'SELECT 1/0; ROLLBACK')
{
	value($first, 'BEGIN');
	is(value($first, call($end, 1)), 'created', "$end: a transaction creates a product");
	is(key_locks($node), 1, "$end: and has its key");
	$first->query($end);
	is(key_locks($node), 0, "$end: until it ends");
	is(
		value($second, call($end, 1)),
		$end eq 'COMMIT' ? 'unchanged' : 'created',
		"$end: another client finds what it left"
	);
}
is(value($second, 'SELECT pg_backend_pid()'), $backend, 'all by the same connection');

# Nor does the status of a response go to the next client.
value($first, 'BEGIN');
value($first, 'SET LOCAL product_upsert.http_status = on');
value($first, call('status', 1));
is(value($first, q{SELECT current_setting('response.status')}), '201', 'http_status sets a status');
value($first, 'COMMIT');
is(value($second, q{SELECT current_setting('response.status')}), '', 'for its transaction alone');

# -- clients that are killed --------------------------------------------------------------------------------

my ($holder, $waiter) = map { session($pooled) } 1 .. 2;

value($holder, 'BEGIN');
is(value($holder, call('killed', 1)), 'created', 'a client creates a product');
start_call($waiter, call('killed', 2));
wait_until_waiting($node, 1);
kill_client($holder);
is(finish_call($waiter), 'created', 'when it is killed, the next one gets the key, and finds no product');
is(key_locks($node), 0, 'no key lock is left behind');

# A call that waits does not notice that its client has gone, and is done in its turn...
($holder, my $victim) = map { session($pooled) } 1 .. 2;
value($holder, 'BEGIN');
value($holder, call('killed', 3));
start_call($victim, call('killed', 4));
wait_until_waiting($node, 1);
kill_client($victim);
value($holder, 'COMMIT');
$node->poll_query_until('postgres', q{SELECT stock = 4 FROM product WHERE serial = 'killed'})
  or die 'the call of the killed client was not done';
pass('a call whose client was killed while it waited is done');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_locks WHERE locktype = \'advisory\'')
  or die 'a key lock is left behind';
pass('and leaves no key lock behind');

# ... unless the server looks.
$node->append_conf('postgresql.conf', 'client_connection_check_interval = 10ms');
$node->reload;
$victim = session($pooled);
value($holder, 'BEGIN');
value($holder, call('killed', 5));
start_call($victim, call('killed', 6));
wait_until_waiting($node, 1);
kill_client($victim);
wait_until_waiting($node, 0);
pass('with client_connection_check_interval it waits no longer');
value($holder, 'COMMIT');
is($node->safe_psql('postgres', q{SELECT stock FROM product WHERE serial = 'killed'}), 5, 'and is not done');

# -- prepared statements --------------------------------------------------------------------------------------

# Statements without a name were used above, by pgbench -M extended. One that is prepared with a name collides with that of
# another client. (pgbench goes on with the other's, which is the same.)
my $script = PostgreSQL::Test::Utils::tempdir() . '/prepared';
append_to_file($script, call('driver', 1));
$pooled->command_checks_all(
	[ 'pgbench', '-n', '-M', 'prepared', '-c', 2, '-t', 1, '-f', $script, 'one' ],
	0, [qr{processed: 2/2}],
	[qr{prepared statement "\w+" already exists}],
	'two clients that prepare a statement of one name'
);

# A statement belongs to the connection. The second client takes the first one's, which then gets another.
($first, $second) = map { session($pooled, dbname => 'two') } 1 .. 2;
value($first, 'PREPARE upsert (jsonb) AS SELECT product_upsert($1)');
value($second, 'BEGIN');
my $execute = q{EXECUTE upsert('{"brand": "b", "serial": "prepared", "manufacturer": null}')};
fails($first, $execute, '26000', 'a prepared statement is gone in the next transaction');
like(value($second, $execute), qr/created/, 'as another client has it');
value($second, 'ROLLBACK');

# Where all of it is one transaction, it is on one connection.
value($first, 'BEGIN; PREPARE own (jsonb) AS SELECT product_upsert($1)');
like(value($first, $execute =~ s/upsert/own/r), qr/created/, 'within a transaction it is there');
value($first, 'DEALLOCATE own; COMMIT');

# -- what statement mode does not allow -----------------------------------------------------------------------

my ($status, $output, $error) = $pooled->psql('statement', 'BEGIN');
like($error, qr/transaction blocks not allowed in statement pooling mode/, 'statement mode refuses transactions');

my $lock = q{SELECT product_upsert_lock('product', '{"brand": "b", "serial": "lock", "manufacturer": null}')};
$pooled->safe_psql('statement', $lock);
is(key_locks($node), 0, 'so a lock that is taken by hand is gone at once');

$_->quit for $first, $second, $holder, $waiter;
$node->stop;
done_testing();
