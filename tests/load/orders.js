// Load on GoFleet for k6: `just load ramp`, `just load breaker`, or against any installation
//
//   k6 run -e GOFLEET_URL=http://localhost:8000 -e SCENARIO=ramp -e RATE=50 -e SECONDS=60 tests/load/orders.js
//
// ramp     a rising rate of orders, each followed to its end and delivered; the objectives are thresholds.
// breaker  stop the fleet role while it runs, and restart it after a while. Every customer keeps ordering until they
//          have seen a driver, then manual dispatch (fleet_unavailable), then a driver again; nothing else may happen.
//
// TIMES=off leaves out the thresholds that depend on the speed of the machine.

import http from "k6/http";
import exec from "k6/execution";
import { check, sleep } from "k6";
import { Counter, Rate, Trend } from "k6/metrics";

const URL = `${__ENV.GOFLEET_URL || "http://127.0.0.1:8000"}/api/v1`;
const SCENARIO = __ENV.SCENARIO || "ramp";
const RATE = Number(__ENV.RATE || 50);
const SECONDS = Number(__ENV.SECONDS || 60);
const CUSTOMERS = Number(__ENV.CUSTOMERS || 10);
const DRIVERS = Number(__ENV.DRIVERS || 200);
const TIMES = __ENV.TIMES !== "off";
const DEPOT = { lat: -23.5505, lng: -46.6333 };
const JSON_BODY = { "Content-Type": "application/json" };
const WAIT_SECONDS = Number(__ENV.WAIT || 130); // an order waits for T_MAX_SECONDS (120) at most

const settled = new Rate("orders_settled");
const dispatched = new Rate("orders_dispatched");
const unexpected = new Counter("orders_unexpected");
const escalated = new Counter("orders_fleet_unavailable");
const recovered = new Counter("customers_recovered");
const untilSettled = new Trend("order_until_settled", true);

const scenarios = {
  ramp: {
    executor: "ramping-arrival-rate",
    exec: "ramp",
    startRate: 1,
    timeUnit: "1s",
    preAllocatedVUs: RATE * 4, // orders take a while, and creating VUs during the test would drop iterations
    maxVUs: RATE * 10,
    gracefulStop: `${WAIT_SECONDS}s`,
    stages: [
      { duration: `${Math.ceil(SECONDS * 0.3)}s`, target: RATE },
      { duration: `${Math.ceil(SECONDS * 0.5)}s`, target: RATE },
      { duration: `${Math.ceil(SECONDS * 0.2)}s`, target: 1 },
    ],
  },
  breaker: {
    executor: "per-vu-iterations",
    exec: "breaker",
    vus: CUSTOMERS,
    iterations: 1,
    maxDuration: `${SECONDS}s`,
    gracefulStop: "5s",
  },
};

const thresholds = {
  ramp: {
    checks: ["rate==1"],
    orders_settled: ["rate==1"],
    http_req_failed: [TIMES ? "rate<0.001" : "rate==0"],
    ...(TIMES && {
      "http_req_duration{name:create}": ["p(95)<200"],
      order_until_settled: ["p(95)<5000"],
      orders_dispatched: ["rate>0.995"],
      dropped_iterations: ["count==0"],
    }),
  },
  breaker: {
    checks: ["rate==1"],
    orders_settled: ["rate==1"],
    http_req_failed: ["rate==0"],
    orders_unexpected: ["count==0"],
    orders_fleet_unavailable: [`count>=${CUSTOMERS}`],
    customers_recovered: [`count==${CUSTOMERS}`],
  },
};

export const options = {
  scenarios: { [SCENARIO]: scenarios[SCENARIO] },
  thresholds: thresholds[SCENARIO],
  summaryTrendStats: ["avg", "p(50)", "p(95)", "p(99)", "max"],
  setupTimeout: "120s",
};

/** Drivers around the depot, on duty. */
export function setup() {
  for (let number = 0; number < DRIVERS; number++) {
    const body = JSON.stringify({ name: `Driver ${number}` });
    const response = http.put(`${URL}/drivers/${driver(number)}`, body, { headers: JSON_BODY, tags: { name: "driver" } });
    if (response.status !== 200) throw new Error(`no driver: ${response.status} ${response.body}`);
  }
  if (moveDrivers() !== 200) throw new Error("the positions of the drivers were refused");
}

/** One order, followed to its end and delivered. */
export function ramp() {
  if (exec.scenario.iterationInTest % (RATE * 5) === 0) moveDrivers(); // stale positions do not count
  const order = place();
  if (order === null) return;
  dispatched.add(order.status === "DISPATCHED");
  if (order.status === "DISPATCHED") deliver(order);
}

/** A customer who orders until they have seen the outage begin and end. */
export function breaker() {
  for (const wanted of ["DISPATCHED", "MANUAL_DISPATCH", "DISPATCHED"]) {
    let order = null;
    while (order === null || order.status !== wanted) {
      moveDrivers();
      order = place();
      if (order !== null) count(order);
      sleep(0.1);
    }
  }
  recovered.add(1);
}

function count(order) {
  if (order.status === "DISPATCHED") deliver(order);
  else if (order.status === "MANUAL_DISPATCH" && order.reason === "fleet_unavailable") escalated.add(1);
  else {
    unexpected.add(1);
    console.error(`${order.id} is ${order.status}, ${order.reason}`);
  }
}

/** The order once it is no longer PENDING; null if it was not created, or stayed PENDING too long. */
function place() {
  const id = `load-${exec.scenario.startTime}-${exec.vu.idInTest}-${exec.vu.iterationInScenario}-${Date.now()}`;
  const body = JSON.stringify({ id, price: 100.0, tax: 10.0, pickup: DEPOT });
  const response = http.post(`${URL}/orders`, body, { headers: JSON_BODY, tags: { name: "create" } });
  const created = check(response, {
    "an order is created": (created) => created.status === 201 && created.json("final_price") === 110.0,
  });
  if (!created) return null;
  const since = Date.now();
  while (Date.now() - since < WAIT_SECONDS * 1000) {
    const order = http.get(`${URL}/orders/${id}`, { tags: { name: "get" } });
    if (order.status === 200 && order.json("status") !== "PENDING") {
      settled.add(true);
      untilSettled.add(Date.now() - since);
      return order.json();
    }
    sleep(0.1);
  }
  settled.add(false);
  return null;
}

function deliver(order) {
  const response = http.post(`${URL}/orders/${order.id}/deliver`, null, { tags: { name: "deliver" } });
  check(response, { "it is delivered": (delivered) => delivered.status === 200 });
}

/** The status; 503 while the fleet is down, which is expected. */
function moveDrivers() {
  const positions = [];
  for (let number = 0; number < DRIVERS; number++) {
    const lat = DEPOT.lat + (number % 20) * 0.0005;
    positions.push({ driver_id: driver(number), lat, lng: DEPOT.lng + Math.floor(number / 20) * 0.0005 });
  }
  const response = http.post(`${URL}/drivers/positions`, JSON.stringify({ positions }), {
    headers: JSON_BODY,
    tags: { name: "positions" },
    responseCallback: http.expectedStatuses(200, 503),
  });
  return response.status;
}

function driver(number) {
  return `load-${String(number).padStart(3, "0")}`;
}
