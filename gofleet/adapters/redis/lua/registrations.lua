-- One page of the drivers.
-- ARGV  glob of the drivers' hashes, the key prefix before the driver id, SCAN cursor (0 = begin), SCAN count
-- Returns the next cursor (0 = end), then driver, registered version or '' of each
local pattern, before, cursor, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)
local answer = {found[1]}
for _, key in ipairs(found[2]) do
    answer[#answer + 1] = string.sub(key, #before + 1)
    answer[#answer + 1] = redis.call('HGET', key, 'version') or ''
end
return answer
