"""What queueing theory says of simple systems; the simulation must say the same."""

import math


def waiting_m_d_1(rate: float, service: float) -> float:
    """Return the mean wait before service in M/D/1, in seconds (Pollaczek and Khinchine).

    Args:
        rate: Of arrivals by chance, per second.
        service: Seconds of each service; ``rate * service`` is below 1.
    """
    busy = rate * service
    return busy * service / (2 * (1 - busy))


def blocked_erlang_b(offered: float, servers: int) -> float:
    """Return the share of requests that find all servers busy and go away (Erlang 1917), whatever a service takes.

    Args:
        offered: Arrivals per second times mean seconds of a service.
        servers: How many there are.
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked


def blocked_m_m_1_k(offered: float, places: int) -> float:
    """Return the share of requests that find all places taken in M/M/1/K.

    Args:
        offered: Arrivals per second times mean seconds of a service.
        places: K, that of the one in service included.
    """
    if math.isclose(offered, 1):
        return 1 / (places + 1)
    return (1 - offered) * offered**places / (1 - offered ** (places + 1))
