# product_upsert_shard: upserts into the shards of a table that Citus distributes over two nodes. sql/shard.sql asks what is
# refused where there is no Citus; example/citus moves shards while clients write.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);

plan skip_all => 'Citus is not installed' unless -e "$sharedir/extension/citus.control";

# -- two nodes ------------------------------------------------------------------------------------

sub start_citus
{
	my ($name) = @_;
	my $node = start_node(
		$name,
		init => { allows_streaming => 'logical' },
		shared_preload_libraries => 'citus',
		max_prepared_transactions => 20,
		'citus.enable_statistics_collection' => 'off',
		'citus.node_conninfo' => 'sslmode=prefer'
	);

	$node->safe_psql('postgres', "ALTER SYSTEM SET citus.local_hostname = '" . $node->host . "'");
	$node->reload;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus');
	return $node;
}

sub address { my ($node) = @_; return "'" . $node->host . "', " . $node->port }

my $coordinator = start_citus('coordinator');
my $worker = start_citus('worker');

$coordinator->safe_psql('postgres', 'SELECT citus_set_coordinator_host(' . address($coordinator) . ')');
$coordinator->safe_psql('postgres', 'SELECT citus_add_node(' . address($worker) . ')');
$coordinator->safe_psql('postgres',
	'SELECT citus_set_node_property(' . address($coordinator) . ", 'shouldhaveshards', true)");

# -- the tables -----------------------------------------------------------------------------------

$coordinator->safe_psql(
	'postgres', q{
	CREATE TABLE product (
		brand text, serial text, manufacturer text, stock int CONSTRAINT stock_not_negative CHECK (stock >= 0),
		status text DEFAULT 'new', id bigint GENERATED ALWAYS AS IDENTITY, sku text,
		PRIMARY KEY (brand, serial, manufacturer), CONSTRAINT one_sku UNIQUE (serial, sku));
	SELECT create_distributed_table('product', 'serial', shard_count => 4);
	CREATE TABLE part (brand text, serial text, manufacturer text, stock int, PRIMARY KEY (brand, serial, manufacturer));
	SELECT create_distributed_table('part', 'serial', colocate_with => 'product');
	CREATE TABLE twofold (brand text, serial text, manufacturer text, stock int, PRIMARY KEY (brand, serial, manufacturer));
	SET citus.shard_replication_factor = 2;
	SELECT create_distributed_table('twofold', 'serial', colocate_with => 'none');
	RESET citus.shard_replication_factor;
	CREATE TABLE by_stock (brand text, serial text, manufacturer text, stock int);
	CREATE INDEX ON by_stock (brand, serial, manufacturer);
	SELECT create_distributed_table('by_stock', 'stock', shard_count => 4);
	CREATE TABLE by_year (brand text, serial text, manufacturer text, stock int, year int) PARTITION BY RANGE (year);
	CREATE TABLE by_year_1 PARTITION OF by_year FOR VALUES FROM (1) TO (2000);
	CREATE INDEX ON by_year (brand, serial, manufacturer);
	SELECT create_distributed_table('by_year', 'serial', colocate_with => 'product');
	CREATE TABLE reference (brand text, serial text, manufacturer text, stock int);
	SELECT create_reference_table('reference');
	CREATE TABLE one_shard (brand text, serial text, manufacturer text, stock int);
	SELECT create_distributed_table('one_shard', NULL, colocate_with => 'none');
	CREATE TABLE plain (brand text, serial text, manufacturer text, stock int);
}
);

# Serials whose shards are where they are asked for
sub serials
{
	my ($node, $n) = @_;

	return split /\n/, $coordinator->safe_psql(
		'postgres', qq{
		SELECT serial FROM generate_series(1, 200) AS n, CAST(n AS text) AS serial
		  JOIN citus_shards ON shardid = get_shard_id_for_distribution_column('product', serial)
		 WHERE nodeport = } . $node->port . qq{ ORDER BY n LIMIT $n}
	);
}

my ($here, $here_too) = serials($coordinator, 2);
my ($there) = serials($worker, 1);
my $elsewhere = $coordinator->safe_psql(
	'postgres', qq{
	SELECT serial FROM generate_series(1, 200) AS n, CAST(n AS text) AS serial
	 WHERE get_shard_id_for_distribution_column('product', serial) <>
		   get_shard_id_for_distribution_column('product', '$here') LIMIT 1}
);
my $session = session($coordinator);
my $of_worker = session($worker);

sub product
{
	my ($serial, $more) = @_;

	return qq({"brand": "b", "serial": "$serial", "manufacturer": "m") . (defined $more ? ", $more}" : '}');
}

sub call
{
	my ($table, $serial, $payload, $options) = @_;

	return "SELECT product_upsert_shard('$table', '$serial'::text, '$payload'"
	  . (defined $options ? ", $options)" : ')');
}

# -- one row --------------------------------------------------------------------------------------

is(value($session, call('product', $here, product($here, '"stock": 1')) . q( -> 'action')),
	'"created"', 'a row is created');
is($coordinator->safe_psql('postgres', qq{SELECT stock, status, id > 0 FROM product WHERE serial = '$here'}),
	'1|new|t', '... with defaults and an identity of the table, and Citus finds it');
is(value($session, call('product', $here, product($here, '"stock": 2')) . q( -> 'previous')),
	'{"stock": 1}', '... and updated');
is(value($of_worker, call('product', $there, product($there)) . q( -> 'product' -> 'status')),
	'"new"', 'a row is created on the worker');
is($coordinator->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM product'),
	'2|2', '... with an identity of its own');
is(value($session, call('part', $here, product($here, '"stock": 3')) . q( -> 'action')),
	'"created"', 'in a table beside it');
is(value($session, call('by_year', $here, product($here, '"year": 1, "stock": 1')) . q( -> 'action')),
	'"created"', 'in a partitioned table');
is(value($session, 'SELECT count(*) FROM by_year_1'), '1', '... it is in the partition');

# -- options and arrays ---------------------------------------------------------------------------

fails($session, call('product', $here, product($here, '"stock": 3'), q(if_match => '{"stock": 1}')),
	'PT412', 'if_match');
is(value($session, call('product', $here, product($here, '"stock": 1'), q(newer_by => 'stock')) . q( -> 'action')),
	'"stale"', 'newer_by');
is(
	value(
		$session,
		call('product', $here_too, product($here_too), q(on_create => '{"status": "old"}'))
		  . q( -> 'product' -> 'status')
	),
	'"old"',
	'on_create'
);
is(
	value(
		$session,
		call('product', $here, '[' . product($here, '"stock": 5') . ', ' . product($here, '"stock": 6') . ']')
		  . q( -> 1 -> 'previous')
	),
	'{"stock": 5}',
	'an array'
);
fails($session, call('product', $here, '[' . product($here) . ', ' . product($elsewhere) . ']'),
	'22023', 'an array that is of two shards');
is(
	value(
		$session,
		'SELECT result #>> \'{error,sqlstate}\', result #>> \'{error,message}\' FROM jsonb_array_elements(('
		  . call(
			'product',
			$here,
			'['
			  . product($here, '"stock": 7') . ', '
			  . product($here, '"stock": -1') . ', '
			  . product($elsewhere) . ']',
			q(on_error => 'report')
		  )
		  . ')) AS result WHERE result ->> \'action\' = \'failed\''
	),
	qq(23514|new row for relation "product" violates check constraint "stock_not_negative"\n)
	  . '22023|field "serial" is not in the shard of distribution_value',
	'failures are reported with the names of the table'
);

# -- errors ---------------------------------------------------------------------------------------

sub says
{
	my ($sql, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = $coordinator->psql('postgres', "\\set VERBOSITY verbose\n$sql;");

	like($stderr, $pattern, $name);
	unlike($stderr =~ s/^CONTEXT:.*|^LOCATION:.*//mgr, qr/product_\d/, '... and no shard');
	return;
}

says(
	call('product', $here, product($here, '"stock": -1')),
	qr/23514: .*"product".*TABLE NAME:  product\nCONSTRAINT NAME:  stock_not_negative/s,
	'a CHECK constraint'
);
value($session, call('product', $here, product($here, '"sku": "s"')));
says(
	call('product', $here, product($here, '"sku": "s"') =~ s/"m"/"n"/r),
	qr/23505: .*"one_sku".*TABLE NAME:  product\nCONSTRAINT NAME:  one_sku/s,
	'a unique constraint'
);
says(call('product', $here, product($here, '"id": 1')), qr/428C9: .*"id"/, 'GENERATED ALWAYS AS IDENTITY');
says(call('product', $here, '{"brand": "b"}'), qr/22023: .*"serial"/, 'a field of the key is missing');
says(
	call('by_stock', '1', product('1', '"stock": 1')) =~ s/'1'::text/1/r,
	qr/0A000: .*"by_stock"\nDETAIL:  Column "stock", by which it is distributed, is not in its key/,
	'the table is distributed by a column that is not in its key'
);
says(
	call('twofold', $here, product($here)),
	qr/0A000: .*"twofold"\nDETAIL:  Its shards have 2 placements each/,
	'two placements'
);
says(
	call('product', $there, product($there)),
	qr/40001: .*"product" is not on this node/,
	'the shard is on another node'
);

for my $table ('plain', 'reference', 'one_shard')
{
	says(call($table, '1', product('1')),
		qr/0A000: .*"$table"\nDETAIL:  Citus does not distribute it by hash/, "$table");
}
says("SELECT product_upsert_shard('product', NULL::text, '" . product($here) . q{')},
	qr/22004/, 'no distribution value');
is(
	$coordinator->safe_psql('postgres', 'SELECT count(*) FROM twofold')
	  . $coordinator->safe_psql('postgres', 'SELECT count(*) FROM by_stock'),
	'00',
	'what was refused, is not there'
);

# -- who may --------------------------------------------------------------------------------------

$coordinator->safe_psql(
	'postgres', q{
	CREATE ROLE executes LOGIN;
	CREATE ROLE writes LOGIN;
	CREATE ROLE writes_stock LOGIN;
	GRANT SELECT, INSERT, UPDATE ON product TO writes;
	GRANT SELECT, INSERT (brand, serial, manufacturer, stock), UPDATE (stock) ON product TO writes_stock;
	CREATE ROLE reads_columns LOGIN;
	GRANT SELECT (brand, serial, manufacturer, stock, status, id, sku), INSERT, UPDATE ON product TO reads_columns;
}
);

sub as
{
	my ($role, $sql) = @_;

	return "SET ROLE $role; $sql; RESET ROLE";
}

says(
	as('executes', call('product', $here, product($here))),
	qr/42501: .*"?product/,
	'a role that may execute the function alone'
);
is(
	$coordinator->safe_psql(
		'postgres', as('writes', call('product', $here, product($here, '"stock": 9')) . q( -> 'action'))
	),
	'"updated"',
	'one that may write the table'
);
is(
	$coordinator->safe_psql(
		'postgres', as('writes_stock', call('product', $here, product($here, '"stock": 10')) . q( -> 'action'))
	),
	'"updated"',
	'one that may write columns'
);
says(
	as('writes_stock', call('product', $here, product($here, '"status": "old"'))),
	qr/42501: .*product/,
	'... and not another one'
);

# The same on the shards: but it is the table's privileges that count.
$coordinator->safe_psql('postgres',
	q{SET citus.enable_ddl_propagation = off; REVOKE UPDATE (stock) ON product FROM writes_stock});
says(
	as('writes_stock', call('product', $here, product($here, '"stock": 11'))),
	qr/42501: .*product/,
	'... nor one no more'
);
says(
	as('reads_columns', call('product', $here, product($here, '"stock": 10'))),
	qr/42501: permission denied for table product/,
	'one that may read columns alone'
);
is($coordinator->safe_psql('postgres', "SELECT stock, status FROM product WHERE serial = '$here'"),
	'10|new', 'that is all');

$coordinator->safe_psql(
	'postgres', q{
	ALTER TABLE product ENABLE ROW LEVEL SECURITY;
	CREATE POLICY others ON product TO writes USING (true) WITH CHECK (manufacturer <> 'm');
}
);
says(
	as('writes', call('product', $here, product($here, '"stock": 12'))),
	qr/42501: .*row-level security/,
	'row-level security'
);
$coordinator->safe_psql('postgres', 'ALTER TABLE product DISABLE ROW LEVEL SECURITY');

# -- functions of the same names ------------------------------------------------------------------

$coordinator->safe_psql(
	'postgres', q{
	CREATE SCHEMA other;
	SET citus.enable_ddl_propagation = off;
	CREATE FUNCTION other.lock_shard_metadata(int, bigint[]) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'not Citus'; END$$;
	CREATE FUNCTION other.get_shard_id_for_distribution_column(regclass, "any") RETURNS bigint
		LANGUAGE internal AS 'pg_num_nulls';
}
);
is(
	$coordinator->safe_psql(
		'postgres',
		'SET search_path = other, pg_catalog, public; '
		  . call('product', $here, product($here, '"stock": 11'))
		  . q( -> 'action')
	),
	'"updated"',
	'functions of Citus are found where it has them'
);

# -- a shard that moves ---------------------------------------------------------------------------

my $shard = $coordinator->safe_psql('postgres', qq{SELECT get_shard_id_for_distribution_column('product', '$here')});
my $move =
  "SELECT citus_move_shard_placement($shard, " . address($coordinator) . ', ' . address($worker) . q{, 'block_writes')};

# A move waits for who has written, ...
value($session, 'BEGIN');
value($session, call('product', $here, product($here, '"stock": 20')));
my $mover = session($coordinator);
start_call($mover, $move);
wait_until_waiting($coordinator, 1, 'advisory');
value($session, 'COMMIT');
finish_call($mover);
is($coordinator->safe_psql('postgres', "SELECT stock FROM product WHERE serial = '$here'"),
	'20', 'a move waits for a writer');
fails($session, call('product', $here, product($here)), '40001', '... the next one is told to go elsewhere');
is(
	value($of_worker, call('product', $here, product($here, '"stock": 21')) . q( -> 'previous')),
	'{"stock": 20}',
	'... and finds it there'
);

# ... and a writer for the move; then the shard is not here any more.
$move =
  "SELECT citus_move_shard_placement($shard, " . address($worker) . ', ' . address($coordinator) . q{, 'block_writes')};
value($mover, 'BEGIN');
value($mover, $move);
start_call($of_worker, call('product', $here, product($here, '"stock": 22')));
wait_until_waiting($worker, 1, 'advisory');
fails($session, call('product', $here, product($here)), '40001', 'who is at the wrong node does not wait');
value($mover, 'COMMIT');
finish_call($of_worker, '40001', 'a writer waits for a move');
is($coordinator->safe_psql('postgres', "SELECT stock FROM product WHERE serial = '$here'"),
	'21', '... and has not written');

# A shard that is split has no placement.
my ($low, $high) = split /\|/,
  $coordinator->safe_psql('postgres', "SELECT shardminvalue, shardmaxvalue FROM pg_dist_shard WHERE shardid = $shard");
my $node =
  $coordinator->safe_psql('postgres', 'SELECT nodeid FROM pg_dist_node WHERE nodeport = ' . $coordinator->port);
value($mover, 'BEGIN');
value($mover,
		"SELECT citus_split_shard_by_split_points($shard, ARRAY['"
	  . int(($low + $high) / 2)
	  . "'], ARRAY[$node, $node], 'block_writes')");
start_call($session, call('product', $here, product($here, '"stock": 23')));
wait_until_waiting($coordinator, 1, 'advisory');
value($mover, 'COMMIT');
finish_call($session, '40001', 'a writer waits for a split');
is(
	value($session, call('product', $here, product($here, '"stock": 23')) . q( -> 'previous')),
	'{"stock": 21}',
	'... and finds the row in a new shard'
);

# What is given back
$coordinator->safe_psql('postgres', q{SELECT undistribute_table('part')});
fails($session, call('part', $here, product($here)), '0A000', 'a table that is distributed no more');

done_testing();
