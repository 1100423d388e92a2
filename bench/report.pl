#!/usr/bin/perl
# report.pl MEASUREMENTS DIRECTORY: reads what bench/run measured, and makes results.md and results.svg of it.
# report.pl --docs MEASUREMENTS: puts tables and picture into README.md and doc/, between the marks there.
#
# A figure is the median of the rounds, and a ratio that of the ratios in each round.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use FindBin;

my %title = (
	conflict_id => 'ON CONFLICT, id',
	conflict_row => 'ON CONFLICT',
	conflict_json => 'ON CONFLICT from JSON',
	merge => 'MERGE',
	plpgsql => 'PL/pgSQL',
	plain => 'plain'
);

# The parts, in the order in which they are printed: name, heading, and who is compared with whom.
my @from_columns = ([ product_upsert => 'conflict_row' ]);
my @from_json = ([ product_upsert => 'conflict_json' ]);
my @parts = (
	[ single => 'Single calls', @from_columns, @from_json ],
	[ hot => 'One key in demand', @from_columns, @from_json ],
	[ batch => 'Arrays', @from_json ],
	[ bulk => 'From a table', [ product_upsert => 'conflict_id' ] ],
	[
		partitioned => 'Partitioned tables',
		@from_json, pairs('one table', '12 partitions', '120 partitions'),
		pairs('INSERT, not protected', 'INSERT, protected')
	],
	[
		guard => 'The guard',
		pairs('product_upsert, not protected', 'product_upsert, protected'),
		pairs('INSERT, unique index', 'INSERT, protected', 'INSERT, protected, index on the columns')
	],
	[
		copy => 'The guard in COPY and in replication',
		pairs('COPY, unique index', 'COPY, protected'),
		pairs('subscription, unique index', 'subscription, protected')
	],
	[
		options => 'Options',
		pairs(q(on_error => 'stop'), q(on_error => 'report')),
		pairs('without rejects', 'rejects, none rejected', 'rejects, 1 % rejected'),
		pairs('result = full', 'result = changes', 'result = action'),
		pairs('key without a condition', 'key with a condition')
	],
	[ growth => 'Growth', @from_columns, @from_json ],
	[ footprint => 'Footprint', @from_columns, @from_json ]
);

# The ratios that are wanted: part, work, condition, unit, which of the two that are compared, the ratio. Where each
# commit waits for the disk, writers are all as fast as the disk, so none is wanted there but of calls that need not write.
my ($least, $most) = (1, -1);
my $rate = qr{/s$};
my @wanted = (
	[ 'single', qr/create|update/, qr/commit off/, $rate, qr/conflict_row/, $least, 1 ],
	[ 'single', qr/unchanged/, qr/commit off/, $rate, qr/conflict_row/, $least, 1.25 ],
	[ 'single', qr/unchanged/, qr/^1 client,.* commit on/, $rate, qr/conflict_row/, $least, 2 ],
	[ 'single', qr/unchanged/, qr/^8 clients.* commit on/, $rate, qr/conflict_row/, $least, 3 ],
	[ 'single', qr//, qr/commit off/, $rate, qr/conflict_json/, $least, 1.5 ],
	[ 'hot', qr//, qr//, $rate, qr/conflict_json/, $least, 1 ],
	[ 'batch', qr/create|update/, qr/1,000/, $rate, qr/conflict_json/, $least, 1.3 ],
	[ 'batch', qr/unchanged/, qr/1,000/, $rate, qr/conflict_json/, $least, 3 ],
	[ 'bulk', qr/create/, qr//, $rate, qr/conflict_id/, $least, 1 ],
	[ 'bulk', qr/update/, qr//, $rate, qr/conflict_id/, $least, 1.2 ],
	[ 'bulk', qr/unchanged/, qr//, $rate, qr/conflict_id/, $least, 3 ],
	[ 'partitioned', qr/create|update/, qr/1,000/, $rate, qr/conflict_json/, $least, 1 ],
	[ 'partitioned', qr/unchanged/, qr/1,000/, $rate, qr/conflict_json/, $least, 2 ],
	[ 'partitioned', qr//, qr/1 client/, $rate, qr/conflict_json/, $least, 0.9 ],
	[ 'partitioned', qr//, qr/1 client/, $rate, qr/^12 partitions/, $least, 0.75 ],
	[ 'partitioned', qr//, qr/1 client/, $rate, qr/^120 partitions/, $least, 0.3 ],
	[ 'partitioned', qr//, qr//, $rate, qr/INSERT, protected/, $least, 0.7 ],
	[ 'guard', qr//, qr//, $rate, qr/product_upsert, protected/, $least, 0.9 ],
	[ 'guard', qr//, qr//, $rate, qr/INSERT, protected/, $least, 0.8 ],
	[ 'copy', qr//, qr//, $rate, qr/, protected/, $least, 0.9 ],
	[ 'options', qr//, qr//, $rate, qr/'report'/, $least, 0.77 ],
	[ 'options', qr//, qr//, $rate, qr/none rejected/, $least, 0.91 ],
	[ 'options', qr//, qr//, $rate, qr/1 % rejected/, $least, 0.5 ],
	[ 'growth', qr//, qr/^table of .* against/, $rate, qr//, $least, 0.67 ],
	[ 'footprint', qr/unchanged/, qr//, qr/WAL/, qr//, $most, 0 ]
);

# README's table: text, then part, condition and the two that are compared. It has a column for each work.
my @essential = (
	[ 'single calls', 'single', qr/^1 client,.* off/, 'product_upsert', 'conflict_row' ],
	[ 'single calls, from the same JSON', 'single', qr/^1 client,.* off/, 'product_upsert', 'conflict_json' ],
	[ 'single calls, 8 clients, commits flushed', 'single', qr/^8 clients.* on/, 'product_upsert', 'conflict_row' ],
	[ 'arrays of 1,000, from the same JSON', 'batch', qr/1,000$/, 'product_upsert', 'conflict_json' ],
	[ 'the same, without sending the result', 'batch', qr/not sent/, 'product_upsert', 'conflict_json' ],
	[ 'from a table', 'bulk', qr//, 'product_upsert', 'conflict_id' ],
	[
		'arrays of 1,000, 16 partitions by the key', 'partitioned',
		qr/by the key.*1,000/, 'product_upsert',
		'conflict_json'
	],
	[
		'12 partitions by another column, against product_upsert on one table',
		'partitioned',
		qr/another column, 1 client/,
		'12 partitions',
		'one table'
	],
	[
		'`INSERT` under the guard, against a unique index',
		'guard', qr/1 client/,
		'INSERT, protected',
		'INSERT, unique index'
	],
	[ '`COPY` under the guard, against a unique index', 'copy', qr/rows$/, 'COPY, protected', 'COPY, unique index' ]
);

# The picture's bars: text, then part, work and condition of the row.
my @shown = (
	[ 'Create one', 'single', 'create', qr/^1 client,.* off/ ],
	[ 'Update one', 'single', 'update', qr/^1 client,.* off/ ],
	[ 'Unchanged one', 'single', 'unchanged', qr/^1 client,.* off/ ],
	[ 'The same, commits flushed', 'single', 'unchanged', qr/^1 client,.* on/ ],
	[ 'The same, 8 clients', 'single', 'unchanged', qr/^8 clients.* on/ ],
	[ 'Update the same one, 16 clients', 'hot', 'update', qr/ off/ ],
	[ 'Create, in arrays of 1,000', 'batch', 'create', qr/1,000$/ ],
	[ 'Update, in arrays of 1,000', 'batch', 'update', qr/1,000$/ ],
	[ 'Unchanged, in arrays of 1,000', 'batch', 'unchanged', qr/1,000$/ ],
	[ 'The same, result not sent', 'batch', 'unchanged', qr/not sent/ ],
	[ 'Update, arrays, 16 partitions', 'partitioned', 'update', qr/by the key.*1,000/ ],
	[ 'Create from a table', 'bulk', 'create', qr// ],
	[ 'Update from a table', 'bulk', 'update', qr// ],
	[ 'Unchanged from a table', 'bulk', 'unchanged', qr// ]
);

my (@rows, %rounds, @about, @missed);

my $docs = @ARGV && $ARGV[0] eq '--docs' && shift @ARGV;
my ($measurements, $directory) = @ARGV;
die "usage: report.pl MEASUREMENTS DIRECTORY | report.pl --docs MEASUREMENTS\n" if @ARGV != ($docs ? 1 : 2);

read_measurements();
my %section = map { my ($part, undef, @pairs) = @$_; $part => table($part, @pairs) . contenders($part) } @parts;
$section{about} = about();
$section{missed} = missed();
$section{essential} = essential();
$docs ? fill_documents() : write_results();

# pairs(AGAINST, WHAT…): each is compared with the first.
sub pairs
{
	my ($against, @what) = @_;
	return map { [ $_ => $against ] } @what;
}

# Every row has part, work, condition and unit, and the values of each contender, by round.
sub read_measurements
{
	my %row;
	open my $in, '<', $measurements or die "$measurements: $!\n";
	while (<$in>)
	{
		chomp;
		if (s/^# //) { push @about, $_; next }
		my ($part, $work, $condition, $contender, $round, $unit, $value) = split /\t/;
		next if $part eq 'part';
		my $name = join "\t", $part, $work, $condition, $unit;
		push @rows, $row{$name} = { part => $part, work => $work, condition => $condition, unit => $unit }
		  if !$row{$name};
		$row{$name}{values}{$contender}{$round} = $value;
		$rounds{$part} = $round;
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
	my @sorted = sort { $a <=> $b } @_ or return undef;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# ----------------------------------------------------------------------------------------------------
# The tables
# ----------------------------------------------------------------------------------------------------

# A line for each row and each two of it that are compared.
sub table
{
	my ($part, @pairs) = @_;
	my @of_part = grep { $_->{part} eq $part } @rows or return '';
	my @lines;
	for my $row (@of_part)
	{
		for (@pairs)
		{
			my ($own, $its) = map { $row->{values}{$_} } @$_;
			push @lines, line($row, $_->[0], $own, $_->[1], $its) if $own && $its;
		}
	}
	push @lines, growth_lines(@of_part) if $part eq 'growth';
	my $named = !grep { $_->[0] ne 'product_upsert' } @pairs;
	my @head = ('work', 'condition', 'unit', $named ? 'product_upsert' : 'measured', 'against', 'ratio', 'wanted');
	return markdown([@head], [ (':--') x 3, ('--:') x 2, '--:', ':--' ], @lines);
}

sub line
{
	my ($row, $own_name, $own, $its_name, $its) = @_;
	my $ratio = median_ratio($own, $its);
	return [
		@$row{qw(work condition unit)},
		($own_name eq 'product_upsert' ? '' : "$own_name: ") . number(median(values %$own)),
		title($its_name) . ': ' . number(median(values %$its)),
		judged($row, $ratio, $own_name, $its_name)
	];
}

# What is left of the speed where something is larger, of that where it is smallest.
sub growth_lines
{
	my (%series, @order, @lines);
	for my $row (grep { $_->{unit} =~ $rate } @_)
	{
		my $series = "$row->{work} " . $row->{condition} =~ s/[\d,]+//r =~ s/(client|partition)s?\b/$1/r;
		push @order, $series if !$series{$series};
		push @{ $series{$series} }, $row;
	}
	for (grep { @{ $series{$_} } > 1 && !/client/ } @order)
	{
		my ($first, @larger) = @{ $series{$_} };
		for my $larger (@larger)
		{
			push @lines, growth_line($larger, $first, $_) for sort { $b cmp $a } keys %{ $larger->{values} };
		}
	}
	return @lines;
}

sub growth_line
{
	my ($larger, $first, $contender) = @_;
	my ($own, $its) = map { $_->{values}{$contender} } $larger, $first;
	my $row = { %$larger, condition => "$larger->{condition}, against $first->{condition}" };
	my $is_own = $contender eq 'product_upsert';
	my $ratio = median_ratio($own, $its);
	return [
		@$row{qw(work condition unit)},
		($is_own ? '' : title($contender) . ': ') . number(median(values %$own)),
		number(median(values %$its)),
		$is_own ? judged($row, $ratio, $contender, $contender) : (number($ratio), '')
	];
}

# The ratio, and what was wanted.
sub judged
{
	my ($row, $ratio, @compared) = @_;
	return ('', '') if !defined $ratio;
	my ($direction, $wanted) = wanted($row, @compared) or return (number($ratio), '');
	my $text = ($direction == $most ? 'at most ' : '') . number($wanted);
	return (number($ratio), $text) if $direction * (sprintf('%.2f', $ratio) - $wanted) >= 0;
	push @missed,
	  sprintf '%s, %s, %s, %s against %s: %s, wanted %s', $row->{part}, @$row{qw(work condition)},
	  (map { title($_) } @compared), number($ratio), $text;
	return ('**' . number($ratio) . '**', "$text, **missed**");
}

sub wanted
{
	my ($row, $own, $its) = @_;
	for (@wanted)
	{
		my ($part, $work, $condition, $unit, $compared, @at) = @$_;
		return @at
		  if $part eq $row->{part}
		  && $row->{work} =~ /^(?:$work)/
		  && $row->{condition} =~ $condition
		  && $row->{unit} =~ $unit
		  && ($own =~ $compared || $its =~ $compared);
	}
	return;
}

# All that took part, where more did than are compared: a line for each, and a column for each work.
sub contenders
{
	my ($part) = @_;
	my %shown = (single => qr/^1 client,.* off/, batch => qr/1,000$/, bulk => qr//);
	my $condition = $shown{$part} or return '';
	my @of_part = grep { $_->{part} eq $part && $_->{unit} =~ $rate && $_->{condition} =~ $condition } @rows
	  or return '';
	my @head = ($of_part[0]{condition} . ", $of_part[0]{unit}", map { $_->{work} } @of_part);
	my @lines;
	for my $contender (qw(product_upsert conflict_id conflict_row conflict_json merge plpgsql plain))
	{
		next if !$of_part[0]{values}{$contender};
		push @lines, [ title($contender), map { number(median(values %{ $_->{values}{$contender} })) } @of_part ];
	}
	return "\n" . markdown([@head], [ ':--', ('--:') x @of_part ], @lines);
}

sub essential
{
	my @works = qw(create update unchanged);
	my @lines;
	for (@essential)
	{
		my ($text, $part, $condition, $own, $its) = @$_;
		my @of_part = grep { $_->{part} eq $part && $_->{unit} =~ $rate && $_->{condition} =~ $condition } @rows
		  or next;
		my %ratio = map { $_->{work} => ratio($_, $own, $its) } @of_part;
		push @lines, [ $text, map { number($ratio{$_}) } @works ];
	}
	return markdown([ '', qw(created updated unchanged) ], [ ':--', ('--:') x 3 ], @lines);
}

sub ratio
{
	my ($row, $own, $its) = @_;
	my @compared = @{ $row->{values} }{ $own, $its };
	return $compared[0] && $compared[1] ? median_ratio(@compared) : undef;
}

sub markdown
{
	return join '', map { '| ' . join(' | ', @$_) . " |\n" } @_;
}

sub title
{
	my ($name) = @_;
	return $title{$name} // $name;
}

sub number
{
	my ($n) = @_;
	return '' if !defined $n;
	my $text = $n == 0 ? '0' : sprintf $n < 10 ? '%.2f' : $n < 100 ? '%.1f' : '%.0f', $n;
	1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
	return $text;
}

sub about
{
	my $rounds = join ', ', map { "$_->[0] $rounds{$_->[0]}" } grep { $rounds{ $_->[0] } } @parts;
	return join("\n", @about) . "\nRounds: $rounds.\n";
}

sub missed
{
	return "Nothing that was wanted is missed.\n" if !@missed;
	return join '', "Wanted and missed:\n\n", map { "- $_\n" } @missed;
}

# ----------------------------------------------------------------------------------------------------
# Where they go
# ----------------------------------------------------------------------------------------------------

sub write_results
{
	draw("$directory/results.svg");
	my $text = "# product_upsert, measured side by side\n\n![How many times as fast as ON CONFLICT](results.svg)\n\n";
	$text .= "$section{$_}\n" for qw(about essential missed);
	$text .= "## $_->[1]\n\n$section{$_->[0]}\n" for grep { $section{ $_->[0] } } @parts;
	write_file("$directory/results.md", $text);
}

# A mark names what is to be put between it and the next one.
sub fill_documents
{
	my $root = "$FindBin::Bin/..";
	for my $part (grep { !$section{$_} } sort keys %section)
	{
		die "$measurements has no measurements of $part\n";
	}
	for my $file ('README.md', 'doc/performance.md')
	{
		my $text = read_file("$root/$file");
		my $count = $text =~ s{(<!-- bench:begin (\w+) -->\n).*?(<!-- bench:end -->\n)}
			{ $1 . "\n" . ($section{$2} // die "$file: there is no $2\n") . "\n" . $3 }egs;
		die "$file has no mark\n" if !$count;
		write_file("$root/$file", $text);
	}
	draw("$root/doc/performance.svg");
}

sub read_file
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!\n";
	local $/ = undef;
	return <$in>;
}

sub write_file
{
	my ($file, @text) = @_;
	open my $out, '>', $file or die "$file: $!\n";
	print $out @text;
	close $out or die "$file: $!\n";
}

# ----------------------------------------------------------------------------------------------------
# The picture
# ----------------------------------------------------------------------------------------------------

# A group of bars for each row shown, a bar for each kind of ON CONFLICT that took part. A bar that would make
# all others tiny is cut, and marked so; its value is beside it.
sub draw
{
	my ($file) = @_;
	my $cut = 6;
	my ($left, $width, $top, $bar, $gap) = (270, 400, 74, 13, 11);
	my ($y, $longest, @groups) = ($top, 1);

	for (@shown)
	{
		my ($text, $part, $work, $condition) = @$_;
		my ($row) =
		  grep { $_->{part} eq $part && $_->{work} eq $work && $_->{condition} =~ $condition && $_->{unit} =~ $rate }
		  @rows
		  or next;
		my ($plain, $other, $json) =
		  map { ratio($row, 'product_upsert', $_) } qw(conflict_row conflict_id conflict_json);
		my @bars = grep { defined $_->[1] } [ plain => $plain // $other ], [ json => $json ];
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
	write_picture($file, $left + $width + 60, $bottom + 28, $left, @grid, @marks);
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
	my ($file, $width, $height, $left, @marks) = @_;
	write_file($file, <<"END", map({ "$_\n" } @marks), "</svg>\n");
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
