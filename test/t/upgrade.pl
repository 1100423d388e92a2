# ALTER EXTENSION … UPDATE: what was made with one version goes on working with the next, in sessions that are open too, and
# a database that was updated has the same objects as one where the later version was created.
#
# As there is one version only, the later one is a throw-away: the same objects, replaced. Its files are put into the
# extension directory of the installation, if that can be written to, and removed again.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

my $later = '99.0';

my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my $dir = "$sharedir/extension";

plan skip_all => "cannot write to the extension directory" unless -w $dir && -e "$dir/product_upsert--1.0.sql";

my $script = slurp_file("$dir/product_upsert--1.0.sql");
my @files = ("$dir/product_upsert--$later.sql", "$dir/product_upsert--1.0--$later.sql");

plan skip_all => 'there is a later version' if grep { -e } @files;

# Also when the test dies
END
{
	unlink @files;
}

append_to_file($files[0], $script);
append_to_file($files[1],
	$script =~ s/^CREATE (?=FUNCTION|VIEW)/CREATE OR REPLACE /gmr =~ s/CREATE EXTENSION/ALTER EXTENSION/r);

my $node = start_node('upgrade');

$node->safe_psql('postgres', 'CREATE DATABASE updated');
$node->safe_psql('postgres', 'CREATE DATABASE fresh');

# Everything that belongs to the extension, and what it is like
my $objects = q{
	SELECT pg_describe_object(classid, objid, 0),
		   CASE classid WHEN 'pg_proc'::regclass THEN pg_get_functiondef(objid) WHEN 'pg_class'::regclass THEN pg_get_viewdef(objid) END,
		   obj_description(objid, classid::regclass::name)
	  FROM pg_depend
	 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'product_upsert')
	 ORDER BY 1};

$node->safe_psql(
	'updated', q{
	CREATE EXTENSION product_upsert VERSION '1.0';
	CREATE TABLE item (id int PRIMARY KEY, tenant text, sku text, stock int);
	INSERT INTO item VALUES (1, 't', 'old', 1), (2, 't', 'old', 2), (3, 't', 's', 3);
	CREATE INDEX ON item (tenant, sku);
	SELECT product_upsert_protect('item', '{tenant,sku}');
	CREATE VIEW watched AS SELECT target, granted FROM product_upsert_locks;
}
);

# Nobody but the owner of a database need be asked to have it.
is(
	$node->safe_psql(
		'updated', q{
	SELECT v.version, v.superuser, v.trusted, v.relocatable, v.requires
	  FROM pg_available_extensions AS e
		   JOIN pg_available_extension_versions AS v ON v.name = e.name AND v.version = e.default_version
	 WHERE e.name = 'product_upsert'}
	),
	'1.0|t|t|f|',
	'the default version, which may be created by those who are no superusers'
);

my $open = session($node, dbname => 'updated');
my $call = q{SELECT product_upsert('item', '{"tenant": "t", "sku": "s", "stock": %d}') -> 'previous'};

is(value($open, sprintf $call, 4), '{"stock": 3}', 'a session calls the first version');
is(value($open, q{SELECT count(*) FROM product_upsert_merge_duplicates('item', dry_run => true)}), '1', 'and merges');

my $before = $node->safe_psql('updated', $objects);
my $guard = q{SELECT oid, xmin, tgname FROM pg_trigger WHERE tgrelid = 'item'::regclass};
my $guard_before = $node->safe_psql('updated', $guard);

like($before, qr/function product_upsert_guard\(\)/, 'the first version has a guard');
$node->safe_psql('updated', "ALTER EXTENSION product_upsert UPDATE TO '$later'");
is($node->safe_psql('updated', q{SELECT extversion FROM pg_extension WHERE extname = 'product_upsert'}),
	$later, 'it is updated');
$node->safe_psql('fresh', "CREATE EXTENSION product_upsert VERSION '$later'");
is(
	$node->safe_psql('updated', $objects),
	$node->safe_psql('fresh', $objects),
	'the same objects as where the later version was created'
);
is($node->safe_psql('updated', $objects), $before, 'all of them belong to the extension as before');

# In the session that was open, and in a new one
my $new = session($node, dbname => 'updated');
my $stock = 4;

for my $session ($open, $new)
{
	my $name = $session == $open ? 'open session' : 'new session';

	is(
		value($session, sprintf $call, $stock + 1),
		qq({"stock": $stock}),
		"$name: product_upsert goes by the declared key"
	);
	$stock++;
	fails($session, q{INSERT INTO item VALUES (10, 't', 's')}, '23505', "$name: the table is protected");
	fails($session, q{UPDATE item SET sku = 's' WHERE id = 1}, '23505', "$name: against an update too");
	is(value($session, q{SELECT product_upsert_key('item')}), '{tenant,sku}', "$name: the key is declared");
	is(value($session, q{SELECT rows FROM product_upsert_duplicates('item')}), '[1, 2]', "$name: duplicates are found");
	is(value($session, q{SELECT kept -> 'id' FROM product_upsert_merge_duplicates('item', dry_run => true)}),
		'1', "$name: and merged");
	value($session, 'BEGIN');
	value($session, q{SELECT product_upsert_lock('item', '{"tenant": "t", "sku": "s"}')});
	is(value($session, 'SELECT * FROM watched'), 'item|t', "$name: a view of ours shows the lock");
	value($session, 'COMMIT');
	is(value($session, q{SELECT product_upsert_protect('item', '{tenant,sku}')}),
		'(item_tenant_sku_idx,1)', "$name: to protect it again changes nothing");
}
is($node->safe_psql('updated', $guard), $guard_before, 'there is one guard, and nobody has touched it');
value($open, q{SELECT product_upsert_unprotect('item')});
is(value($new, q{INSERT INTO item VALUES (10, 't', 's') RETURNING id}),
	'10', 'the protection ends when it is taken away');

# With the extension goes what protects the table, if that is asked for.
value($new, q{DELETE FROM item WHERE id = 10; SELECT product_upsert_protect('item', '{tenant,sku}')});
fails($new, 'DROP EXTENSION product_upsert', '2BP01', 'a guard depends on the extension');
value($new, 'SET client_min_messages = error; DROP EXTENSION product_upsert CASCADE');
is(value($new, q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass}), '0', 'and goes with it');
is(value($new, q{SELECT count(*) FROM pg_index WHERE indrelid = 'item'::regclass AND NOT indisprimary}),
	'1', 'the lookup index stays');

$_->quit for $open, $new;
$node->stop;
done_testing();
