-- Counts the attempts that a call starts, and how long their jobs have waited.

-- Return the ms since a time; 0 for none, and for NaN.
local function waited_since(since)
  local waited = now - (tonumber(since) or now)
  return waited > 0 and waited or 0
end

-- The jobs of one call are much alike: those of a type and priority that came at the same time are counted together.
local alike, alike_type, alike_priority, alike_since, alike_waited = 0, nil, nil, nil, nil

local function count_alike()
  if alike > 0 then
    count(COUNTER.dequeued .. alike_type .. ':' .. alike_priority, alike)
    observe('wait', alike_type, alike_waited, alike)
  end
end

-- Count an attempt that starts. Returns the ms that the job has waited.
local function count_started(job_type, priority, since)
  if since ~= alike_since or job_type ~= alike_type or priority ~= alike_priority then
    count_alike()
    alike, alike_type, alike_priority, alike_since, alike_waited = 0, job_type, priority, since, waited_since(since)
  end
  alike = alike + 1
  return alike_waited
end
