-- GCRA, as knurl_core::rate: the key holds the instant, in microseconds by this server's clock, at which the bucket is full again.
-- ARGV: interval_us, depth_us. Answers: whether it was allowed, how far ahead the mark stands, now.
local interval, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local ahead = math.min(math.max(mark - now, 0), depth)
local after = ahead + interval
local allowed = 1
if after > depth then
    allowed, after = 0, ahead
end
-- A refusal leaves the mark where it stands, but for one that a clock ahead of this one has left: that is pulled in.
if now + after ~= mark then
    -- Past its mark a bucket is full, as one that is not there.
    redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.max(math.ceil(after / 1000), 1))
end
return { allowed, after, now }
