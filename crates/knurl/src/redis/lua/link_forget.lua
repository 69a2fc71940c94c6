-- ARGV: life, version, milliseconds to refuse older ones, a channel or nothing, what to say there.
-- A value that holds the change already stays. Leave to put one ends in any case but that.
local life, version = this_life(ARGV[1]), tonumber(ARGV[2])
local floor, lease, at, value = read(life)
if not (value and floor >= version) then
    -- Without memory to spare a record can still be removed; the leave goes with it.
    if not write(math.max(floor, version), 0, now_us(), life, '', ARGV[3]) then
        redis.call('DEL', KEYS[1])
    end
end
if ARGV[4] ~= '' then
    redis.pcall('PUBLISH', ARGV[4], ARGV[5])
end
return 1
