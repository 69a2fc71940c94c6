-- A record is what stands under a link's key: a head, and behind it the link's value where there is one.
--   format   1 byte
--   version  of the value; without one, no older value may be put
--   lease    who may put a value; 0: nobody
--   at       microseconds: what the value says was looked up later than this, or will be
--   life     the start of the server under which it was written: 0 never
local HEAD = '>BI8I8I8I8'
local HEAD_BYTES = 33

local function now_us()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- Of a Cluster the client does not know whom it reaches: then it gives 0.
local function this_life(given)
    local life = tonumber(given)
    if life == 0 then
        life = tonumber(string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, 12), 16)
    end
    return life
end

-- Version, lease, at, value; nothing where no such record stands there. What another life wrote may lack the changes that one did
-- not live to hear of: it is as if it were not there.
local function read(life)
    local raw = redis.call('GET', KEYS[1])
    if not raw or #raw < HEAD_BYTES then
        return 0, 0, 0, nil
    end
    local format, version, lease, at, of = struct.unpack(HEAD, raw)
    if format ~= 1 or of ~= life then
        return 0, 0, 0, nil
    end
    local value = nil
    if #raw > HEAD_BYTES then
        value = string.sub(raw, HEAD_BYTES + 1)
    end
    return version, lease, at, value
end

local function write(version, lease, at, life, value, keep_ms)
    local raw = struct.pack(HEAD, 1, version, lease, at, life) .. value
    local written = redis.pcall('SET', KEYS[1], raw, 'PX', keep_ms)
    return not (type(written) == 'table' and written.err)
end
