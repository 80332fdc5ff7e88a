-- Stores new positions; a position older than the stored one is dropped. The position of a driver that is not registered
-- is kept while it is fresh, outside the indexes.
-- KEYS  index of free drivers, index of all drivers, all drivers by the time of their last update
-- ARGV  prefix, stale after ms, forget after ms, id, lat, lng, recorded at ms of each as one flat MessagePack list,
--       for positions that are charged to the drivers' travel budgets: its start in m, km/h
-- Returns 1 (stored), 0 (older), 2 (too far) or 3 (the driver is not registered) for each, as one string: a client decodes
-- an array of many numbers one by one
--
-- The drivers' keys are built here, as in claim_nearest: building and sending them took longer than everything else.
local free, seen, heard = KEYS[1], KEYS[2], KEYS[3]
local prefix, stale_ms, forget_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local fixes, start_m, kmh = cmsgpack.unpack(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local applied, moved, times, waiting, others, unregistered = {}, {}, {}, {}, {}, {}
for i = 1, #fixes / 4 do
    local id, lat, lng, recorded_at = fixes[4 * i - 3], fixes[4 * i - 2], fixes[4 * i - 1], fixes[4 * i]
    local driver = prefix .. 'driver:' .. id
    local known, version, on_duty = unpack(redis.call('HMGET', driver, 'recorded_at', 'version', 'on_duty'))
    local older = known and tonumber(known) > recorded_at
    if not version then
        if not older then
            redis.call('HSET', driver, 'lat', lat, 'lng', lng, 'recorded_at', recorded_at)
            redis.call('PEXPIRE', driver, stale_ms)
        end
        unregistered[#unregistered + 1] = id
        applied[i] = 3
    elseif older then
        applied[i] = 0
    elseif kmh and not charge(driver, tonumber(lat), tonumber(lng), recorded_at, start_m, kmh) then
        applied[i] = 2
    else
        redis.call('HSET', driver, 'lat', lat, 'lng', lng, 'recorded_at', recorded_at)
        redis.call('PEXPIRE', driver, forget_ms)
        local is_waiting = is_free(prefix .. 'busy:' .. id, version, on_duty, recorded_at, stale_ms)
        for _, marks in ipairs({moved, is_waiting and waiting or nil}) do
            marks[#marks + 1], marks[#marks + 2], marks[#marks + 3] = markable(lng), lat, id
        end
        if not is_waiting then others[#others + 1] = id end
        times[#times + 1], times[#times + 2] = now, id
        applied[i] = 1
    end
end

-- All updates of the indexes at once; for a repeated driver the last one counts. A newer position never makes a free
-- driver busy, so the removals go first.
if #moved > 0 then
    redis.call('GEOADD', seen, unpack(moved))
    redis.call('ZADD', heard, unpack(times))
end
if #unregistered > 0 then -- an earlier release added every driver
    for _, set in ipairs({free, seen, heard}) do redis.call('ZREM', set, unpack(unregistered)) end
end
if #others > 0 then redis.call('ZREM', free, unpack(others)) end
if #waiting > 0 then redis.call('GEOADD', free, unpack(waiting)) end

-- Hashes that expire leave their members in the indexes: each call removes up to twice as many as it can have added.
local gone = redis.call('ZRANGEBYSCORE', heard, '-inf', now - forget_ms, 'LIMIT', 0, 2 * #applied)
if #gone > 0 then
    for _, set in ipairs({free, seen, heard}) do redis.call('ZREM', set, unpack(gone)) end
end
return {table.concat(applied)}
