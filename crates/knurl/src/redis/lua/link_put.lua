-- ARGV: life, the lease, version, value, milliseconds to keep it. 1: put. 0: a change came between, or the lease had lapsed.
local life, version = this_life(ARGV[1]), tonumber(ARGV[3])
local floor, lease, at = read(life)
if lease == 0 or lease ~= tonumber(ARGV[2]) or version < floor then
    return 0
end
if write(version, 0, at, life, ARGV[4], ARGV[5]) then
    return 1
end
return 0
