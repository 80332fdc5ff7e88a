-- Milliseconds since 1970 by the server's clock.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A driver is free if it is registered (by the version of its record) and on duty, has a fresh position and holds no
-- order.
local function is_free(busy, version, on_duty, recorded_at, stale_ms)
    local fresh = recorded_at and now - tonumber(recorded_at) <= stale_ms
    return version and on_duty == '1' and fresh and redis.call('EXISTS', busy) == 0
end

-- A geo index accepts longitude 180 and never finds it again: 0.1 m less is precise enough for an index.
local function markable(lng)
    return tonumber(lng) > 179.999999 and '179.999999' or lng
end

-- The index holds exactly the free drivers (and some whose position has become stale), so searches meet no busy ones.
local function settle(free, driver, busy, id, stale_ms)
    local version, on_duty, lat, lng, recorded_at =
        unpack(redis.call('HMGET', driver, 'version', 'on_duty', 'lat', 'lng', 'recorded_at'))
    if is_free(busy, version, on_duty, recorded_at, stale_ms) then
        redis.call('GEOADD', free, markable(lng), lat, id)
    else
        redis.call('ZREM', free, id)
    end
end

