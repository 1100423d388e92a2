#!/usr/bin/perl
# report.pl MEASUREMENTS PICTURE: reads what bench/run measured, prints the table in Markdown and draws the
# picture. A figure is the median of the rounds, and a ratio that of the ratios in each round.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));

my ($measurements, $picture) = @ARGV;

my @contenders = (
	[ product_upsert => 'product_upsert' ],
	[ conflict_id => 'ON CONFLICT, id' ],
	[ conflict_row => 'ON CONFLICT, row' ],
	[ conflict_json => 'ON CONFLICT from JSON, row' ],
	[ merge => 'MERGE' ],
	[ plpgsql => 'PL/pgSQL' ],
	[ plain => 'plain' ]
);

# Those that product_upsert is compared with.
my @rivals = qw(conflict_id conflict_row conflict_json);

# The ratios that are wanted: part, workload, condition, rival, at least. Where each commit waits for
# the disk, writers are all as fast as the disk, so none is wanted there but of calls that need not write.
my @wanted = (
	[ 'single', qr/create|update/, qr/commit off/, 'conflict_row', 1 ],
	[ 'single', qr/unchanged/, qr/commit off/, 'conflict_row', 1.25 ],
	[ 'single', qr/unchanged/, qr/^1 client,.* commit on/, 'conflict_row', 2 ],
	[ 'single', qr/unchanged/, qr/^8 clients.* commit on/, 'conflict_row', 3 ],
	[ 'single', qr//, qr/commit off/, 'conflict_json', 1.5 ],
	[ 'hot', qr//, qr//, 'conflict_json', 1 ],
	[ 'batch', qr/create|update/, qr/1,000/, 'conflict_json', 1.3 ],
	[ 'batch', qr/unchanged/, qr/1,000/, 'conflict_json', 3 ],
	[ 'bulk', qr/create/, qr//, 'conflict_id', 1 ],
	[ 'bulk', qr/update/, qr//, 'conflict_id', 1.2 ],
	[ 'bulk', qr/unchanged/, qr//, 'conflict_id', 3 ]
);
my $wanted_growth = 1.5;
my $wanted_wal = 0;
my %wanted_guard = (product_upsert => 0.9, plain => 0.8);

# What an option may cost at most: how a condition ends with it and without it, times the time.
my @options = (
	[ q(on_error => 'report'), q(on_error => 'stop'), 1.3 ],
	[ 'rejects, none rejected', 'without rejects', 1.1 ],
	[ 'rejects, 1 % rejected', 'without rejects', 2 ],
	[ 'result = changes', 'result = full' ],
	[ 'result = action', 'result = full' ],
	[ 'key with a condition', 'key without a condition' ]
);

# The picture's bars: text, then part, workload and condition of the row.
my @shown = (
	[ 'Create one', 'single', 'create', qr/^1 client,.* off/ ],
	[ 'Update one', 'single', 'update', qr/^1 client,.* off/ ],
	[ 'Unchanged one', 'single', 'unchanged', qr/^1 client,.* off/ ],
	[ 'The same, commits flushed', 'single', 'unchanged', qr/^1 client,.* on/ ],
	[ 'The same, 8 clients', 'single', 'unchanged', qr/^8 clients.* on/ ],
	[ 'Update the same one, 16 clients', 'hot', 'update', qr/ off/ ],
	[ 'Create, in arrays of 1,000', 'batch', 'create', qr/1,000/ ],
	[ 'Update, in arrays of 1,000', 'batch', 'update', qr/1,000/ ],
	[ 'Unchanged, in arrays of 1,000', 'batch', 'unchanged', qr/1,000/ ],
	[ 'Create from a table', 'bulk', 'create', qr// ],
	[ 'Update from a table', 'bulk', 'update', qr// ],
	[ 'Unchanged from a table', 'bulk', 'unchanged', qr// ]
);

my (@rows, %rounds, @missed);

read_measurements();
add_growth();
add_guard();
add_options();
print_table();
print_notes();
draw();

# Every row has part, workload, condition, unit, and the values of each contender, by round, and their median.
sub read_measurements
{
	my %row;
	open my $in, '<', $measurements or die "$measurements: $!\n";
	<$in>;
	while (<$in>)
	{
		chomp;
		my ($part, $workload, $condition, $contender, $round, $unit, $value) = split /\t/;
		my $name = join "\t", $part, $workload, $condition, $unit;
		if (!$row{$name})
		{
			$row{$name} = { part => $part, workload => $workload, condition => $condition, unit => $unit };
			push @rows, $row{$name};
		}
		$row{$name}{values}{$contender}{$round} = $value;
		$rounds{$part} = $round;
	}
	for my $row (@rows)
	{
		$row->{median}{$_} = median(values %{ $row->{values}{$_} }) for keys %{ $row->{values} };
	}
}

# A machine that is shared with others is now faster, now slower. Within a round, that meets both sides alike.
sub median_ratio
{
	my ($own, $its) = @_;
	return median(map { $own->{$_} / $its->{$_} } grep { $its->{$_} } keys %$own);
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# What a call costs in the largest table, when it costs 1 in the smallest.
sub add_growth
{
	for my $workload (qw(create update))
	{
		my @sizes = grep { $_->{part} eq 'growth' && $_->{workload} eq $workload } @rows or next;
		my ($small, $large) = @sizes[ 0, -1 ];
		my %cost = map { $_ => median_ratio($small->{values}{$_}, $large->{values}{$_}) } keys %{ $small->{values} };
		push @rows,
		  {
			part => 'growth',
			workload => $workload,
			unit => 'times the cost',
			median => \%cost,
			condition => "$large->{condition}, against $small->{condition}"
		  };
	}
	group_parts();
}

# What is left of the speed when the table is protected.
sub add_guard
{
	for my $row (grep { $_->{part} eq 'guard' && $_->{condition} =~ /, protected/ } @rows)
	{
		my $condition = $row->{condition} =~ s/, protected.*/, unprotected/r;
		my ($other) =
		  grep { $_->{part} eq 'guard' && $_->{workload} eq $row->{workload} && $_->{condition} eq $condition } @rows
		  or next;
		my %speed = map { $_ => median_ratio($row->{values}{$_}, $other->{values}{$_}) } keys %{ $row->{values} };
		push @rows,
		  {
			part => 'guard',
			workload => $row->{workload},
			unit => 'of the speed',
			median => \%speed,
			condition => $row->{condition} . ', against unprotected'
		  };
	}
	group_parts();
}

# How many times the time it takes with the option, and how many times that on the processor.
sub add_options
{
	for (@options)
	{
		my ($with, $without, $wanted) = @$_;
		for my $row (grep { $_->{part} eq 'options' && $_->{condition} =~ /, \Q$with\E$/ } @rows)
		{
			my $condition = $row->{condition} =~ s/, \Q$with\E$/, $without/r;
			my ($other) =
			  grep { $_->{workload} eq $row->{workload} && $_->{condition} eq $condition && $_->{unit} eq $row->{unit} }
			  @rows
			  or next;
			my @compared = map { $_->{values}{product_upsert} } $row, $other;
			my $is_rate = $row->{unit} =~ m{/s$};
			my $times = median_ratio($is_rate ? reverse @compared : @compared);
			push @rows,
			  {
				part => 'options',
				workload => $row->{workload},
				unit => $is_rate ? 'times the time' : 'times the time on the processor',
				median => { product_upsert => $times },
				wanted => $is_rate ? $wanted : undef,
				condition => "$row->{condition}, against $without"
			  };
		}
	}
	group_parts();
}

sub group_parts
{
	my %order;
	$order{ $_->{part} } //= keys %order for @rows;
	@rows = sort { $order{ $a->{part} } <=> $order{ $b->{part} } } @rows;
}

# ----------------------------------------------------------------------------------------------------
# The table
# ----------------------------------------------------------------------------------------------------

sub print_table
{
	my @head = ('work', 'condition', 'unit', (map { $_->[1] } @contenders), map { "× $_" } titles(@rivals));
	print_row(@head);
	print_row((':--') x 3, ('--:') x (@head - 3));
	for my $row (@rows)
	{
		my $median = $row->{median};
		print_row(
			$row->{workload}, $row->{condition}, $row->{unit}, own_cell($row),
			(map { other_cell($row, $_->[0]) } @contenders[ 1 .. $#contenders ]),
			map { ratio_cell($row, $_) } @rivals
		);
	}
	print "\n";
}

sub print_row { print '| ', join(' | ', @_), " |\n" }

sub titles
{
	my %title = map { @$_ } @contenders;
	return wantarray ? @title{@_} : $title{ $_[0] };
}

# The median of product_upsert, with what is wanted of it alone.
sub own_cell
{
	my ($row) = @_;
	my $own = $row->{median}{product_upsert};
	my ($part, $unit) = @$row{qw(part unit)};

	return verdict($row, $own, $own <= $wanted_growth, 'at most ' . number($wanted_growth))
	  if $part eq 'growth' && $unit eq 'times the cost';
	return verdict($row, $own, $own <= $wanted_wal, $wanted_wal)
	  if $unit eq 'bytes of WAL' && $row->{workload} eq 'unchanged';
	return verdict($row, $own, sprintf('%.2f', $own) <= $row->{wanted}, 'at most ' . number($row->{wanted}))
	  if $row->{wanted};
	return guard_cell($row, 'product_upsert') if $unit eq 'of the speed';
	return number($own);
}

sub other_cell
{
	my ($row, $contender) = @_;
	return guard_cell($row, $contender) if $row->{unit} eq 'of the speed' && $wanted_guard{$contender};
	return number($row->{median}{$contender});
}

sub guard_cell
{
	my ($row, $contender) = @_;
	my $left = $row->{median}{$contender} // return '';
	my $wanted = $wanted_guard{$contender};
	return verdict($row, $left, sprintf('%.2f', $left) >= $wanted, number($wanted), " for $contender");
}

sub ratio_cell
{
	my ($row, $rival) = @_;
	my $ratio = ratio($row, $rival) // return '';
	my $wanted = wanted($row, $rival) // return number($ratio);
	return verdict($row, $ratio, sprintf('%.2f', $ratio) >= $wanted, number($wanted), ' × ' . titles($rival));
}

sub verdict
{
	my ($row, $value, $reached, $wanted, $of) = @_;
	return number($value) . " (wanted $wanted)" if $reached;
	push @missed,
	  "$row->{workload}, $row->{condition}: " . number($value) . ($of // " $row->{unit}") . ", wanted $wanted";
	return '**' . number($value) . "** (wanted $wanted, **missed**)";
}

# How many times as fast as the rival; only where it is about speed, and both took part.
sub ratio
{
	my ($row, $rival) = @_;
	my ($own, $its) = @{ $row->{values} }{ 'product_upsert', $rival };
	return $row->{unit} =~ m{/s$} && $own && $its ? median_ratio($own, $its) : undef;
}

sub wanted
{
	my ($row, $rival) = @_;
	for (@wanted)
	{
		my ($part, $workload, $condition, $of, $at_least) = @$_;
		return $at_least
		  if $part eq $row->{part}
		  && $of eq $rival
		  && $row->{workload} =~ /^(?:$workload)/
		  && $row->{condition} =~ /$condition/;
	}
	return undef;
}

sub number
{
	my ($n) = @_;
	return '' if !defined $n;
	my $text = $n == 0 ? '0' : sprintf $n < 10 ? '%.2f' : $n < 100 ? '%.1f' : '%.0f', $n;
	1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
	return $text;
}

sub print_notes
{
	my $rounds = join ', ', map { "$_ $rounds{$_}" } sort keys %rounds;
	if (@missed)
	{
		print "Wanted and missed:\n\n";
		print "- $_\n" for @missed;
	}
	else
	{
		print "Nothing that was wanted is missed.\n";
	}
	print <<"END";

A column with × tells how many times as fast as that contender product_upsert is. Figures are medians of
rounds ($rounds), ratios the medians of the ratios in each round. `bench/run`
measures it all again. In each round the contenders take turns, and the rows that each has written are
counted afterwards. All are prepared statements, and all get the same values from the same client:

- **product_upsert**: `SELECT product_upsert(\$1)` with an object or an array, or `product_upsert_from` with a
  table. Its index is on the hash of the key, as product_upsert_protect() makes it. It returns what it did, and the row.
- **ON CONFLICT**: `INSERT … ON CONFLICT … DO UPDATE` with a parameter for each column, returning the id or
  `to_jsonb` of the row; from a table, with `SELECT` and returning nothing. The index on the key is unique.
- **ON CONFLICT from JSON**: the same fed by `jsonb_populate_record` or, for arrays, by
  `jsonb_populate_recordset`; returning `to_jsonb` of each row. It gets what product_upsert gets.
- **MERGE**: with a parameter for each column, an array, or a table. It cannot return anything. Unique index.
- **PL/pgSQL**: a function that takes an advisory lock, looks, then updates or inserts, and returns the row.
- **plain**: `INSERT` where all is new, else `UPDATE` by key: what the least possible costs. It returns
  nothing, and is right only if somebody else knows which of the two it is to be.

A table is protected by product_upsert_protect(), which makes an index on the hash of the key, unless there is one on
the key's columns. Where it is not protected, what keeps plain INSERTs from creating a key twice is a unique index.

With an option, it is product_upsert against product_upsert. One in a hundred of the rows that are loaded with rejects
violates a CHECK constraint; a key with a condition is that of the products that have been released, which all are.

Unchanged products have the very values that are stored; in mixed work, every other product is new. A dead
row is a row version left for vacuum. Memory is what the backend's own grew by at most, on top of a new
session's.
END
}

# ----------------------------------------------------------------------------------------------------
# The picture
# ----------------------------------------------------------------------------------------------------

# A group of bars for each row shown, a bar for each kind of ON CONFLICT that took part. A bar that would make
# all others tiny is cut, and marked so; its value is beside it.
sub draw
{
	my $cut = 6;
	my ($left, $width, $top, $bar, $gap) = (270, 400, 74, 13, 11);
	my ($y, $longest, @groups) = ($top, 1);

	for (@shown)
	{
		my ($text, $part, $workload, $condition) = @$_;
		my ($row) = grep {
				 $_->{part} eq $part
			  && $_->{workload} eq $workload
			  && $_->{condition} =~ $condition
			  && $_->{unit} =~ m{/s$}
		} @rows or next;
		my $plain = ratio($row, 'conflict_row') // ratio($row, 'conflict_id');
		my @bars = grep { defined $_->[1] } [ plain => $plain ], [ json => ratio($row, 'conflict_json') ];
		push @groups, [ $text, @bars ] if @bars;
		for (@bars) { $longest = $_->[1] if $_->[1] > $longest }
	}
	return if !@groups;
	$longest = $cut if $longest > $cut;

	my $x = sub { sprintf '%.1f', $left + $_[0] * $width / $longest };
	my @marks;
	for (@groups)
	{
		my ($text, @bars) = @$_;
		my $middle = $y + @bars * $bar / 2 + 4;
		push @marks, qq(<text x="@{[ $left - 10 ]}" y="$middle" text-anchor="end">$text</text>);
		for (@bars)
		{
			my ($class, $ratio) = @$_;
			my $value = number($ratio) . ($ratio > $longest ? ' ▸' : '');
			my $length = sprintf '%.1f', ($ratio > $longest ? $longest : $ratio) * $width / $longest;
			push @marks,
			  qq(<rect class="$class" x="$left" y="$y" width="$length" height="@{[ $bar - 2 ]}" rx="1"/>),
			  sprintf('<text class="value" x="%.1f" y="%s">%s</text>', $left + $length + 5, $y + 9, $value);
			$y += $bar;
		}
		$y += $gap;
	}
	my $bottom = $y - $gap + 4;
	my @grid = map { grid_line($_, $x->($_), $top - 6, $bottom) } 0 .. $longest;
	write_picture($left + $width + 60, $bottom + 28, $left, @grid, @marks);
}

sub grid_line
{
	my ($n, $x, $top, $bottom) = @_;
	my $class = $n == 1 ? 'one' : 'grid';
	return (qq(<line class="$class" x1="$x" y1="$top" x2="$x" y2="$bottom"/>),
		qq(<text class="value" x="$x" y="@{[ $bottom + 15 ]}" text-anchor="middle">$n×</text>));
}

sub write_picture
{
	my ($width, $height, $left, @marks) = @_;
	open my $out, '>', $picture or die "$picture: $!\n";
	print $out <<"END", map({ "$_\n" } @marks), "</svg>\n";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" width="$width" height="$height" role="img" aria-labelledby="title">
<title id="title">Speed of product_upsert, as a multiple of that of INSERT … ON CONFLICT DO UPDATE</title>
<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 15px }
.value { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0 }
.one { stroke: #59636e; stroke-dasharray: 3 3 }
.plain { fill: #0969da }
.json { fill: #bc4c00 }
\@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.value { fill: #9198a1 }
.grid { stroke: #3d444d }
.one { stroke: #9198a1 }
.plain { fill: #4493f8 }
.json { fill: #f0883e }
}
</style>
<text class="head" x="10" y="22">Speed of product_upsert, as a multiple of INSERT … ON CONFLICT DO UPDATE</text>
<rect class="plain" x="$left" y="37" width="11" height="11" rx="1"/>
<text x="@{[ $left + 17 ]}" y="47">fed by columns</text>
<rect class="json" x="@{[ $left + 150 ]}" y="37" width="11" height="11" rx="1"/>
<text x="@{[ $left + 167 ]}" y="47">fed by the same JSON</text>
END
}
