-- New positions; one older than what is known is dropped.
-- KEYS  the free set, then for each position: the driver, its orders
-- ARGV  stale after ms, forget after ms, then for each position: id, lat, lng, recorded at ms
-- gives 1 or 0 (older) for each
local free = KEYS[1]
local stale_ms, forget_ms = tonumber(ARGV[1]), ARGV[2]
local applied = {}
for i = 1, (#KEYS - 1) / 2 do
    local driver, busy = KEYS[2 * i], KEYS[2 * i + 1]
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
        settle(free, driver, busy, id, stale_ms)
        applied[i] = 1
    end
end
return applied
