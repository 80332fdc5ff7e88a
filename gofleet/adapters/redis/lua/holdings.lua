-- A part of who holds what.
-- ARGV  a glob of the drivers' order hashes, what stands before the driver's id in it, where to go on (0 = begin), keys at once
-- gives where to go on (0 = that was all), then driver, order, sequence of each
local pattern, before, cursor, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)
local answer = {found[1]}
for _, key in ipairs(found[2]) do
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
        answer[#answer + 1] = string.sub(key, #before + 1)
        answer[#answer + 1] = held[i]
        answer[#answer + 1] = held[i + 1]
    end
end
return answer
