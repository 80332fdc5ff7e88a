-- Great-circle distance in m (haversine), as domain/place.py.
local function distance_m(lat, lng, other_lat, other_lng)
    local u, v = math.sin(math.rad(other_lat - lat) / 2), math.sin(math.rad(other_lng - lng) / 2)
    local h = u * u + math.cos(math.rad(lat)) * math.cos(math.rad(other_lat)) * v * v
    return 2 * 6372797.560856 * math.asin(math.min(1, math.sqrt(h)))
end

-- Charges a move to the driver's travel budget (TravelBudget of domain/driver.py); false if it is too far.
local function charge(driver, lat, lng, recorded_at, start_m, kmh)
    local was_lat, was_lng, was_at, device_m, server_m, charged_at = unpack(redis.call(
        'HMGET', driver, 'lat', 'lng', 'recorded_at', 'device_m', 'server_m', 'charged_at'))
    if was_at then
        local m_per_ms, metres = kmh / 3600, distance_m(tonumber(was_lat), tonumber(was_lng), lat, lng)
        device_m = (tonumber(device_m) or start_m) + m_per_ms * (recorded_at - tonumber(was_at)) - metres
        server_m = (tonumber(server_m) or start_m) + m_per_ms * (now - tonumber(charged_at or was_at)) - metres
        if device_m < 0 or server_m < 0 then return false end
    end
    redis.call('HSET', driver, 'device_m', math.min(tonumber(device_m) or start_m, start_m),
        'server_m', server_m or start_m, 'charged_at', now)
    return true
end

