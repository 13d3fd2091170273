/* SPDX-License-Identifier: MIT */
/* Starts the gateway. */
int main(void)
{
    return 0;
}
