-- Take back the jobs of workers that were not heard of for a lease.
--
-- processing -> the head of pending, or failed when its worker was lost too often
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 how often a job may lose its worker  3 default retention ms
--       4 now at the caller's last look ('': its first)  5 ms since then by the caller's own steady clock
-- Returns  STEP and by how many ms, when the server's clock was set: leases are moved along, nobody is
--       rescued; else OK, now, how many went back, how many died, then the workers that were lost
-- uses: base clock alarm arm dead ended finish release settle give_back
local limit, max_lost = tonumber(ARGV[1]), tonumber(ARGV[2])
local STEP_TOLERANCE = 5000 -- ms that two clocks may differ by without one having been set
local CLOCK_SET = 3600000 -- ms that a step is kept in mind: far longer than anybody's last look is ago
local FENCE = 600000 -- ms that a lost worker is kept in mind: far longer than any of its calls can be under way
open_when_full()

-- Leases are moved along once, however many callers find that the clock was set, and however often one repeats.
local function moved_since_the_last_look()
  local moved = redis.call('GET', P .. 'clock_set')
  return moved and now >= tonumber(moved) and now - tonumber(moved) < tonumber(ARGV[5])
end

if ARGV[4] ~= '' then
  local step = now - tonumber(ARGV[4]) - tonumber(ARGV[5])
  if math.abs(step) > STEP_TOLERANCE and not moved_since_the_last_look() then
    redis.call('SET', P .. 'clock_set', now, 'PX', CLOCK_SET)
    for _, worker in ipairs(redis.call('ZRANGE', P .. 'workers', 0, -1)) do
      redis.call('ZINCRBY', P .. 'workers', step, worker)
    end
    return { 'STEP', step }
  end
end

local lost = redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', now, 'LIMIT', 0, limit)
for _, worker in ipairs(lost) do
  redis.call('ZADD', P .. 'fenced', now, worker)
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('DEL', P .. 'cancelling:' .. worker)
end

-- A lost worker stays fenced for a while: a blocking pop of a frozen one can still be given a job.
local oldest = redis.call('ZRANGE', P .. 'fenced', 0, -1, 'WITHSCORES')
for i = 1, #oldest, 2 do
  local worker = oldest[i]
  local own = P .. 'processing:' .. worker
  while limit > 0 do
    local id = redis.call('LINDEX', own, 0)
    if not id then
      break
    end
    give_back(worker, id, 'rescued', max_lost, ARGV[3])
    redis.call('LPOP', own)
    limit = limit - 1
  end
  if tonumber(oldest[i + 1]) < now - FENCE and redis.call('EXISTS', own) == 0 then
    redis.call('ZREM', P .. 'fenced', worker)
  end
end

if returned + ended_went > 0 then
  arm()
end
write_counts()
return { 'OK', now, returned, died, unpack(lost) }
