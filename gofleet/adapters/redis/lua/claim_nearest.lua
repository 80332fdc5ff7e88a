-- The nearest free drivers, the first one claimed for the order.
-- KEYS  the free set, which driver the order holds a claim on
-- ARGV  prefix, order, lng, lat, radius in m, limit, stale after ms, claim for ms, excluded driver...
-- gives id, name, lat, lng, distance in m of each, in one flat list, as JSON: a client reads many values one by one
--
-- It also touches <prefix>driver:<id> and <prefix>claim:<id> of drivers whom nobody can name before it has run, so
-- they are not among the KEYS: right on one server, and in a cluster only with a hash tag in the prefix.
local free, mine = KEYS[1], KEYS[2]
local prefix, order, lng, lat, radius_m = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local limit, stale_ms, claim_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local excluded = {}
for i = 9, #ARGV do excluded[ARGV[i]] = true end

local before = redis.call('GET', mine) -- whom this order was given by an earlier call
-- It comes first wherever it is, so the search goes on until it is met, but not for one who cannot be.
local awaited = before and not excluded[before] and redis.call('ZSCORE', free, before)
local own, others, silent, met = nil, {}, {}, {}

local function meet(id, distance)
    local name, at_lat, at_lng, recorded_at =
        unpack(redis.call('HMGET', prefix .. 'driver:' .. id, 'name', 'lat', 'lng', 'recorded_at'))
    if not recorded_at or now - tonumber(recorded_at) > stale_ms then
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

-- GEOSEARCH looks at everybody within its radius, however few it is to give: so begin near and reach further only
-- while it takes. It cannot go on where it stopped either: each page begins anew, and whoever was met before is known
-- by id, not by place, for drivers at the same spot change places from page to page.
local reach, count = radius_m / 64, 2 * limit + 8
local exhausted
local function enough() return #others >= limit and (own or not awaited) end
repeat
    local page = redis.call('GEOSEARCH', free, 'FROMLONLAT', lng, lat, 'BYRADIUS', reach, 'm',
        'ASC', 'COUNT', count, 'WITHDIST')
    for _, found in ipairs(page) do
        if not met[found[1]] and not enough() then
            met[found[1]] = true
            meet(found[1], found[2])
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

if before and not own then -- excluded or gone: let others have it
    if redis.call('GET', prefix .. 'claim:' .. before) == order then
        redis.call('DEL', prefix .. 'claim:' .. before)
    end
    redis.call('DEL', mine)
end

if own then table.insert(others, 1, own) end
if #others == 0 then return {} end
redis.call('SET', prefix .. 'claim:' .. others[1][1], order, 'PX', claim_ms)
redis.call('SET', mine, others[1][1], 'PX', claim_ms)

local answer = {}
for i = 1, math.min(limit, #others) do
    for _, value in ipairs(others[i]) do answer[#answer + 1] = value end
end
return {cjson.encode(answer)}
