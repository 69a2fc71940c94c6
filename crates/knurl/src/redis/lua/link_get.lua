-- ARGV: life, since_us, a lease to give, milliseconds to keep it.
-- A string: the value. A number: no value, and the lease to put one with, 0 where none can be given.
local life, since = this_life(ARGV[1]), tonumber(ARGV[2])
local now = now_us()
local version, lease, at, value = read(life)
-- What was looked up before the caller began to watch, or will be by a clock that was set back, is not for it.
if at >= since and at <= now then
    if value then
        return value
    end
    -- Somebody is looking it up: whoever looks later may use the same leave.
    if lease ~= 0 then
        return lease
    end
end
lease = tonumber(ARGV[3])
if write(version, lease, now, life, '', ARGV[4]) then
    return lease
end
return 0
