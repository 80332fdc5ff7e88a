-- New positions; one older than what is known is dropped.
-- KEYS  the free set, the set of all who were seen, the same by when they were heard of, then for each position: the
--       driver, its orders
-- ARGV  stale after ms, forget after ms, then for each position: id, lat, lng, recorded at ms
-- gives 1 or 0 (older) for each
local free, seen, heard = KEYS[1], KEYS[2], KEYS[3]
local stale_ms, forget_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local applied = {}
for i = 1, (#KEYS - 3) / 2 do
    local driver, busy = KEYS[2 * i + 2], KEYS[2 * i + 3]
    local id, lat, lng, recorded_at = ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1], ARGV[4 * i + 2]
    local known = redis.call('HGET', driver, 'recorded_at')
    if known and tonumber(known) > tonumber(recorded_at) then
        applied[i] = 0
    else
        if not known then -- it may be registered all the same
            redis.call('HSETNX', driver, 'name', id)
            redis.call('HSETNX', driver, 'on_duty', '1')
        end
        redis.call('HSET', driver, 'lat', lat, 'lng', lng, 'recorded_at', recorded_at)
        redis.call('PEXPIRE', driver, forget_ms)
        mark(seen, lng, lat, id)
        redis.call('ZADD', heard, now, id)
        settle(free, driver, busy, id, stale_ms)
        applied[i] = 1
    end
end

-- What expires by itself leaves its places in the sets behind: twice as many are looked for as can have come.
local long_ago = now - forget_ms
for _, id in ipairs(redis.call('ZRANGEBYSCORE', heard, '-inf', long_ago, 'LIMIT', 0, 2 * #applied)) do
    for _, set in ipairs({free, seen, heard}) do redis.call('ZREM', set, id) end
end
return applied
