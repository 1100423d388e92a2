# Reads pci.ids twice and prints its products for COPY: brand, serial, manufacturer, description.
#
#   8086  Intel Corporation                       a vendor
#   <tab>1521  I350 Gigabit Network Connection    a device of that vendor
#   <tab><tab>1028 0602  Gigabit 2P I350-t LOM    the device on somebody's board: vendor, board, name
#
# The manufacturer is who makes the device; the brand is whose name is on the product, which for a
# device that is not on a board is the same. The serial is the numbers from left to right.

function field(text) {
    gsub(/\\/, "\\\\", text)
    return text
}

function product(brand, serial, manufacturer, description) {
    printf "%s\t%s\t%s\t%s\n", field(brand), serial, field(manufacturer), field(description)
}

/^C / { nextfile }              # device classes, to the end of the file
/^#/ || /^$/ { next }

# Vendors first: a board may name one that comes later in the file.
NR == FNR {
    if (/^[^\t]/)
        name[substr($0, 1, 4)] = substr($0, 7)
    next
}

/^[^\t]/ {
    vendor = substr($0, 1, 4)
    next
}

/^\t[^\t]/ {
    device = substr($0, 2, 4)
    product(name[vendor], vendor ":" device, name[vendor], substr($0, 8))
    next
}

{
    by = substr($0, 3, 4)
    product(by in name ? name[by] : "vendor " by, \
            vendor ":" device ":" by ":" substr($0, 8, 4), name[vendor], substr($0, 14))
}
