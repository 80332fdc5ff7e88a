-- Token bucket (GCRA). KEYS[1]: the time at which the bucket is full again, in microseconds of this server's clock.
-- ARGV: microseconds for one token, tokens of a full bucket, largest number of tokens to take.
-- Returns the tokens taken, those left, and the microseconds until the next token if none was taken.
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
-- After the server's clock was set back, a bucket is empty at most, and not for hours.
full_at = math.min(full_at, now + burst * interval)
local there = math.floor((burst * interval - (full_at - now)) / interval)
local given = math.min(there, wanted)
if given < 1 then
    return {0, 0, math.ceil(interval - (burst * interval - (full_at - now)))}
end
full_at = full_at + given * interval
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return {given, there - given, 0}
