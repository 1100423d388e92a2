# Tables that Citus distributes, replicates or manages. What stands under their names is empty: what would be written there, is
# lost. So all that is asked of them is refused, while shards serve as tables do. sql/distributed.sql asks more, and does
# without Citus.

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

my $node = start_node(
	'citus',
	shared_preload_libraries => 'citus',
	'citus.enable_statistics_collection' => 'off'
);

# Citus is to reach the server through its socket.
$node->safe_psql('postgres', "ALTER SYSTEM SET citus.local_hostname = '" . $node->host . "'");
$node->reload;
$node->safe_psql('postgres', 'CREATE EXTENSION citus');
$node->safe_psql('postgres', "SELECT citus_set_coordinator_host('" . $node->host . "', " . $node->port . ')');
$node->safe_psql('postgres',
	"SELECT citus_set_node_property('" . $node->host . "', " . $node->port . ", 'shouldhaveshards', true)");

my $one = q{'{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 1}'};
my $session = session($node);

sub create_table
{
	my ($table) = @_;

	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE $table (brand text, serial text, manufacturer text, stock int);
		CREATE INDEX ON $table (brand, serial, manufacturer);
	}
	);
	return;
}

# All of them, for a session that has used the table before
my %ways = (
	distributed => q{SELECT create_distributed_table('%s', 'serial', shard_count => 4)},
	one_shard => q{SELECT create_distributed_table('%s', NULL, colocate_with => 'none')},
	replicated => q{SELECT create_reference_table('%s')},
	managed => q{SELECT citus_add_local_table_to_metadata('%s')},
);
for my $table (sort keys %ways)
{
	create_table($table);
	value($session, "SELECT product_upsert('$table', $one)");
	$node->safe_psql('postgres', sprintf $ways{$table}, $table);
	for my $direct ('on', 'off')
	{
		value($session, "SET product_upsert.direct_store = $direct");
		fails($session, "SELECT product_upsert('$table', $one)", '0A000', "$table, direct_store = $direct: refused");
	}
	value($session, 'RESET product_upsert.direct_store');
	fails($session, "SELECT product_upsert_protect('$table')", '0A000', "$table: not to be protected");
	fails($session, "SELECT product_upsert_duplicates('$table')", '0A000', "$table: not to be looked through");
	fails($session, "SELECT product_upsert_merge_duplicates('$table')", '0A000', "$table: not to be merged");
	is(value($session, "SELECT count(*) FROM $table"), '1', "$table: its row is there");
}

# As the source of a load it is read as by any query.
create_table('here');
is(value($session, q{SELECT * FROM product_upsert_from('distributed', 'here')}),
	'1|0|0|0|0', 'a load from a distributed table');
fails($session, q{SELECT product_upsert_from('here', 'distributed')}, '0A000', '... but none into one');

# A shard
my $shard = $node->safe_psql(
	'postgres', q{SELECT shard_name FROM citus_shards WHERE table_name = 'distributed'::regclass
	AND shardid = get_shard_id_for_distribution_column('distributed', '1')}
);
is(value($session, "SELECT product_upsert('$shard', " . ($one =~ s/"stock": 1/"stock": 2/r) . ") -> 'previous'"),
	'{"stock": 1}', 'a shard is written to');
is(value($session, 'SELECT serial, stock FROM distributed'), '1|2', '... and it is seen in the table');
value($session, "SELECT product_upsert_protect('$shard')");
fails($session, q{INSERT INTO distributed (brand, serial, manufacturer) VALUES ('b', '1', 'm')},
	'23505', '... whose guard keeps the table from duplicates');

# What is given back
value($session, "SELECT product_upsert_unprotect('$shard')");
$node->safe_psql('postgres', q{SELECT undistribute_table('distributed')});
is(value($session, "SELECT product_upsert('distributed', $one) -> 'previous'"),
	'{"stock": 2}', 'a table that is distributed no more is as it was');

done_testing();
