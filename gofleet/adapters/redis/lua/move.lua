-- New positions; one older than what is known is dropped.
-- KEYS  the free set, the set of all who were seen, the same by when they were heard of
-- ARGV  prefix, stale after ms, forget after ms, as MessagePack: id, lat, lng, recorded at ms of each in one flat list
-- gives a 1 or a 0 (older) for each, in one text: a client reads many numbers one by one
--
-- The drivers' own keys are made here, as in claim_nearest: naming and sending them took longer than all the rest.
local free, seen, heard = KEYS[1], KEYS[2], KEYS[3]
local prefix, stale_ms, forget_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local fixes = cmsgpack.unpack(ARGV[4])
local applied, moved, times, waiting, others = {}, {}, {}, {}, {}
for i = 1, #fixes / 4 do
    local id, lat, lng, recorded_at = fixes[4 * i - 3], fixes[4 * i - 2], fixes[4 * i - 1], fixes[4 * i]
    local driver = prefix .. 'driver:' .. id
    local known, on_duty = unpack(redis.call('HMGET', driver, 'recorded_at', 'on_duty'))
    if known and tonumber(known) > recorded_at then
        applied[i] = 0
    else
        if not known then -- it may be registered all the same
            redis.call('HSETNX', driver, 'name', id)
            redis.call('HSETNX', driver, 'on_duty', '1')
            on_duty = on_duty or '1'
        end
        redis.call('HSET', driver, 'lat', lat, 'lng', lng, 'recorded_at', recorded_at)
        redis.call('PEXPIRE', driver, forget_ms)
        local is_waiting = is_free(prefix .. 'busy:' .. id, on_duty, recorded_at, stale_ms)
        for _, marks in ipairs({moved, is_waiting and waiting or nil}) do
            marks[#marks + 1], marks[#marks + 2], marks[#marks + 3] = markable(lng), lat, id
        end
        if not is_waiting then others[#others + 1] = id end
        times[#times + 1], times[#times + 2] = now, id
        applied[i] = 1
    end
end

-- All into the sets at once; whoever comes twice is there with what came last. Nobody who was waiting before stops
-- waiting by a newer position, so those who are not go first.
if #moved > 0 then
    redis.call('GEOADD', seen, unpack(moved))
    redis.call('ZADD', heard, unpack(times))
end
if #others > 0 then redis.call('ZREM', free, unpack(others)) end
if #waiting > 0 then redis.call('GEOADD', free, unpack(waiting)) end

-- What expires by itself leaves its places in the sets behind: twice as many are looked for as can have come.
local gone = redis.call('ZRANGEBYSCORE', heard, '-inf', now - forget_ms, 'LIMIT', 0, 2 * #applied)
if #gone > 0 then
    for _, set in ipairs({free, seen, heard}) do redis.call('ZREM', set, unpack(gone)) end
end
return {table.concat(applied)}
