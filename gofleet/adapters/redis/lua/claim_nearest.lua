-- Finds the nearest free drivers and claims the first for the order.
-- KEYS  index of free drivers, the driver claimed for the order
-- ARGV  prefix, order, lng, lat, radius in m, limit, stale after ms, claim duration in ms, radius in m with which to
--       begin, excluded driver ids...
-- Returns id, name, lat, lng, distance in m of each driver, as one flat JSON list: a client decodes an array of many
-- values one by one. Also the distance in m of the last driver that it had to examine, or the radius if it examined all.
--
-- It also uses <prefix>driver:<id> and <prefix>claim:<id> of drivers that are unknown before it runs, so these keys are
-- not among the KEYS: correct on a single server, and in a cluster only with a hash tag in the prefix.
local free, mine = KEYS[1], KEYS[2]
local prefix, order, lng, lat, radius_m = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local limit, stale_ms, claim_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local excluded = {}
for i = 10, #ARGV do excluded[ARGV[i]] = true end

local before = redis.call('GET', mine) -- the driver that an earlier call claimed for this order
-- It comes first wherever it is, so the search continues until it is found, unless it cannot be found.
local awaited = before and not excluded[before] and redis.call('ZSCORE', free, before)
local own, others, silent, met = nil, {}, {}, {}

local function meet(id, distance)
    local version, name, at_lat, at_lng, recorded_at =
        unpack(redis.call('HMGET', prefix .. 'driver:' .. id, 'version', 'name', 'lat', 'lng', 'recorded_at'))
    if not version or not recorded_at or now - tonumber(recorded_at) > stale_ms then
        silent[#silent + 1] = id
        return
    end
    local holder = redis.call('GET', prefix .. 'claim:' .. id)
    if excluded[id] or (holder and holder ~= order) then return end
    local candidate = {id, name, at_lat, at_lng, distance}
    if id == before then
        own = candidate
    elseif #others < limit then
        others[#others + 1] = candidate
    end
end

-- GEOSEARCH measures every driver within its radius, whatever its COUNT, so the radius begins small and grows as
-- needed; the result is the same for every beginning, because each page is in the order of the distance. It has no
-- cursor either: each page begins anew, and drivers of earlier pages are recognised by id, not by rank, because drivers
-- at the same place change ranks between pages.
local reach, count = tonumber(ARGV[9]), 2 * limit + 8
local exhausted
local examined = radius_m
local function enough() return #others >= limit and (own or not awaited) end
repeat
    local page = redis.call('GEOSEARCH', free, 'FROMLONLAT', lng, lat, 'BYRADIUS', reach, 'm',
        'ASC', 'COUNT', count, 'WITHDIST')
    for _, found in ipairs(page) do
        if not met[found[1]] and not enough() then
            met[found[1]] = true
            meet(found[1], found[2])
            if enough() then examined = found[2] end
        end
    end
    if #page >= count then
        count = count * 4
    elseif reach < radius_m then
        reach = math.min(reach * 2, radius_m)
    else
        exhausted = true
    end
until enough() or exhausted

for _, id in ipairs(silent) do redis.call('ZREM', free, id) end

if before and not own then -- excluded or no longer free: release the claim
    if redis.call('GET', prefix .. 'claim:' .. before) == order then
        redis.call('DEL', prefix .. 'claim:' .. before)
    end
    redis.call('DEL', mine)
end

if own then table.insert(others, 1, own) end
if #others == 0 then return {'[]', tostring(examined)} end
redis.call('SET', prefix .. 'claim:' .. others[1][1], order, 'PX', claim_ms)
redis.call('SET', mine, others[1][1], 'PX', claim_ms)

local answer = {}
for i = 1, math.min(limit, #others) do
    for _, value in ipairs(others[i]) do answer[#answer + 1] = value end
end
return {cjson.encode(answer), tostring(examined)}
