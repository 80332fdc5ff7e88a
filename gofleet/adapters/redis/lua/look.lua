-- The positions of drivers, and whether they are free or hold orders.
-- KEYS  for each driver: the driver, its orders
-- ARGV  stale after ms
-- Returns name, lat, lng, recorded at, on duty, free, busy of each, as one flat JSON list;
-- all empty if the driver is not registered or its position is unknown
local stale_ms, answer = tonumber(ARGV[1]), {}
for i = 1, #KEYS, 2 do
    local version, name, lat, lng, recorded_at, on_duty =
        unpack(redis.call('HMGET', KEYS[i], 'version', 'name', 'lat', 'lng', 'recorded_at', 'on_duty'))
    local row = {'', '', '', '', '', '', ''}
    if version and recorded_at then
        local free = is_free(KEYS[i + 1], version, on_duty, recorded_at, stale_ms)
        local busy = not free and redis.call('EXISTS', KEYS[i + 1]) == 1
        row = {name, lat, lng, recorded_at, on_duty, free and '1' or '0', busy and '1' or '0'}
    end
    for _, value in ipairs(row) do answer[#answer + 1] = value end
end
return {cjson.encode(answer)}
